/* What the actors of tests/fuzz.c do, and what it must come to. */
#include "kernel/trap.h"
#include "lib/context.h"
#include "mm/frame.h"
#include "mm/layout.h"
#include "tests/fuzz.h"
#include "tests/window.h"

#define LARGE_PAGES  512u
#define RANGE        (4 * MIB)
#define FUZZ_VA      (TEST_USER_VA - TEST_USER_VA % (2 * MIB) + 512 * GIB)
#define PLENTY       4096u /* free frames with which nothing may say that memory is out */
#define REGIONS_NEAR (REGIONS_MAX - 2 * ACTORS_MAX)

static vaddr_t va_of(const struct actor *a, u32 page)
{
    return FUZZ_VA + a->index * RANGE + page * PAGE_SIZE;
}

/* Says so once, and returns whether it was right. */
static bool expect(struct actor *a, bool right, const char *what, u32 at, u64 found, u64 expected)
{
    if (!right && !a->wrong) {
        a->at = at;
        a->found = found;
        a->expected = expected;
        a->cpu = cpu_self();
        a->wrong = what;
    }
    return right;
}

/* Memory and room may be out only where they can be. */
static bool is_out(const struct actor *a, err_t e)
{
    const struct region_table *table = a->m->space->regions;
    return (e == ERR_NOMEM && frame_stats().free < PLENTY) ||
           (e == ERR_FULL && table && table->count >= REGIONS_NEAR);
}

static bool expect_error(struct actor *a, const char *what, u32 at, err_t found, err_t expected)
{
    return expect(a, found == expected || is_out(a, found), what, at, (u64)found, (u64)expected);
}

static bool all_there(const struct actor *a, u32 first, u32 n)
{
    for (u32 i = first; i < first + n; i++)
        if (a->page[i].prot == NOTHING)
            return false;
    return true;
}

static bool none_there(const struct actor *a, u32 first, u32 n)
{
    for (u32 i = first; i < first + n; i++)
        if (a->page[i].prot != NOTHING)
            return false;
    return true;
}

/* ---- accesses, as a thread in ring 3 would make them ---- */

static void load(struct actor *a)
{
    preempt_disable();
    if (space_running() != a->m->space)
        space_load(a->m->space);
    preempt_enable();
}

void fuzz_unload(struct actor *a)
{
    preempt_disable();
    if (rnd(a, 2))
        space_load(NULL);
    else
        space_borrow();
    preempt_enable();
}

static bool access(struct actor *a, vaddr_t va, bool write, u64 *word)
{
    load(a);
    for (;;) {
        if (!(write ? safe_write_u64((void *)va, *word) : safe_read_u64((void *)va, word)))
            return true;
        enum fault_result r = region_fault(a->m->space, va, (struct fault_access){.write = write});
        if (r == FAULT_RETRY)
            continue;
        expect(a, r == FAULT_REFUSED || is_out(a, ERR_NOMEM), "a fault says that memory is out", 0, r, 0);
        return false;
    }
}

static void use(struct actor *a, u32 i, bool write)
{
    struct page *p = &a->page[i];
    bool allowed = p->prot != NOTHING && (!write || (p->prot & PT_WRITE));
    u64 word = (u64)a->index << 56 | ++a->serial << 16 | i;
    bool reached = access(a, va_of(a, i), write, &word);
    if (!expect(a, reached == allowed, write ? "writing: reached" : "reading: reached", i, reached,
                allowed) ||
        !reached)
        return;
    if (write) {
        p->content = word;
        p->dirty = true;
    } else {
        expect(a, word == p->content, "content", i, word, p->content);
    }
}

static void use_some(struct actor *a)
{
    for (u32 i = 0; i < 12; i++)
        use(a, (u32)rnd(a, rnd(a, 2) ? PAGES : 24), rnd(a, 2));
}

/* ---- operations ---- */

static void op_map(struct actor *a, u32 first, u32 n)
{
    bool large = !rnd(a, 4);
    u32 prot = rnd(a, 4) ? PT_WRITE : PT_READ;
    vaddr_t at = 0;
    if (large) {
        first = 0;
        n = LARGE_PAGES;
    }
    err_t e = region_map(a->m->space, va_of(a, first), n * PAGE_SIZE, prot, REGION_ZERO,
                         large ? PT_2M : PT_4K, &at);
    expect_error(a, "region_map", first, e, none_there(a, first, n) ? ERR_OK : ERR_EXIST);
    if (e != ERR_OK)
        return;
    expect(a, at == va_of(a, first), "region_map: place", first, at, va_of(a, first));
    for (u32 i = first; i < first + n; i++)
        a->page[i] = (struct page){.prot = (u8)prot};
}

static void op_unmap(struct actor *a, u32 first, u32 n)
{
    err_t e = region_unmap(a->m->space, va_of(a, first), va_of(a, first + n));
    expect_error(a, "region_unmap", first, e, ERR_OK);
    for (u32 i = first; e == ERR_OK && i < first + n; i++)
        a->page[i] = (struct page){.prot = NOTHING};
}

static void op_protect(struct actor *a, u32 first, u32 n)
{
    u32 prot = rnd(a, 2) ? PT_WRITE : PT_READ;
    err_t e = region_protect(a->m->space, va_of(a, first), va_of(a, first + n), prot);
    expect_error(a, "region_protect", first, e, all_there(a, first, n) ? ERR_OK : ERR_ABSENT);
    for (u32 i = first; e == ERR_OK && i < first + n; i++)
        a->page[i].prot = (u8)prot;
}

static void op_discard(struct actor *a, u32 first, u32 n)
{
    err_t e = region_discard(a->m->space, va_of(a, first), va_of(a, first + n));
    expect_error(a, "region_discard", first, e, all_there(a, first, n) ? ERR_OK : ERR_ABSENT);
    for (u32 i = first; e == ERR_OK && i < first + n; i++) {
        a->page[i].content = 0;
        a->page[i].dirty = false;
    }
}

static void op_move(struct actor *a, u32 first, u32 n)
{
    u32 to = (u32)rnd(a, PAGES - n + 1);
    bool apart = to + n <= first || first + n <= to;
    err_t e = region_move(a->m->space, va_of(a, first), n * PAGE_SIZE, va_of(a, to));
    if (e == ERR_OK) {
        if (!expect(a, apart && all_there(a, first, n) && none_there(a, to, n), "region_move: done", first,
                    to, n))
            return;
        for (u32 i = 0; i < n; i++) {
            a->page[to + i] = a->page[first + i];
            a->page[first + i] = (struct page){.prot = NOTHING};
        }
        return;
    }
    /* Of one region, and no large one: what the model does not know may forbid it. */
    bool known = e == ERR_ABSENT || e == ERR_INVAL || (e == ERR_EXIST && !(apart && none_there(a, to, n)));
    expect(a, known || is_out(a, e), "region_move", first, (u64)e, ERR_OK);
}

static void harvest(struct actor *a, u32 first, u32 n)
{
    u8 age[PAGES];
    err_t e = region_harvest(a->m->space, va_of(a, first), va_of(a, first + n), age);
    expect_error(a, "region_harvest", first, e, all_there(a, first, n) ? ERR_OK : ERR_ABSENT);
    for (u32 i = 0; e == ERR_OK && i < n; i++) {
        struct page *p = &a->page[first + i];
        expect(a, !p->dirty || (age[i] & REGION_PAGE_DIRTY), "region_harvest: written, not dirty", first + i,
               age[i], REGION_PAGE_DIRTY);
        p->dirty = false;
    }
}

/* Whoever still has the page as dirty sets no bit at the next write. */
static void op_harvest(struct actor *a, u32 first, u32 n)
{
    harvest(a, first, n);
    for (u32 i = 0; i < 2; i++) {
        use(a, first, true);
        harvest(a, first, 1);
    }
}

static void op_populate(struct actor *a, u32 first, u32 n)
{
    err_t e = region_populate(a->m->space, va_of(a, first), va_of(a, first + n));
    expect_error(a, "region_populate", first, e, all_there(a, first, n) ? ERR_OK : ERR_ABSENT);
    for (u32 i = first; e == ERR_OK && i < first + n; i++)
        expect(a, space_query(a->m->space, va_of(a, i)).present, "region_populate: a page is missing", i, 0,
               1);
}

static void op_merge(struct actor *a)
{
    err_t e = region_merge(a->m->space, va_of(a, 0));
    expect(a, e == ERR_OK || e == ERR_INVAL || e == ERR_ABSENT, "region_merge", 0, (u64)e, ERR_OK);
    if (e == ERR_OK) /* the large page is born dirty */
        expect(a, all_there(a, 0, LARGE_PAGES), "region_merge: pages without a region", 0, 0, 1);
}

/* What is not whole pages, or not where regions may be, is refused by every operation, and changes nothing. */
static void op_wrong(struct actor *a, u32 first)
{
    static const struct {
        vaddr_t start, bytes;
        err_t e;
    } bad[] = {
        {1, PAGE_SIZE, ERR_INVAL},        {0, PAGE_SIZE + 8, ERR_INVAL}, {0, 0, ERR_INVAL},
        {USER_END, PAGE_SIZE, ERR_RANGE}, {0, ~0ull << 12, ERR_INVAL},   {KMAP_BASE, PAGE_SIZE, ERR_RANGE},
    };
    u32 i = (u32)rnd(a, ARRAY_SIZE(bad));
    struct space *s = a->m->space;
    vaddr_t start = bad[i].start < USER_END ? va_of(a, first) + bad[i].start : bad[i].start;
    vaddr_t end = start + bad[i].bytes, at;
    u8 age[1];
    err_t e;
    switch (rnd(a, 6)) {
    case 0:
        e = region_unmap(s, start, end);
        break;
    case 1:
        e = region_protect(s, start, end, PT_READ);
        break;
    case 2:
        e = region_discard(s, start, end);
        break;
    case 3:
        e = region_harvest(s, start, end, age);
        break;
    case 4:
        e = region_populate(s, start, end);
        break;
    default:
        e = region_map(s, start, bad[i].bytes, PT_READ, REGION_ZERO, PT_4K, &at);
        expect(a, e == ERR_INVAL || e == ERR_RANGE, "region_map of a bad range", i, (u64)e, (u64)bad[i].e);
        return;
    }
    expect(a, e == bad[i].e, "a bad range", i, (u64)e, (u64)bad[i].e);
}

/* ---- threads ---- */

static cpu_t any_cpu(struct actor *a)
{
    for (;;) {
        cpu_t c = (cpu_t)rnd(a, cpu_count());
        if (cpu_is_online(c) && !cpu_is_parked(c))
            return c;
    }
}

static void child(void *arg)
{
    struct actor *a = arg;
    use_some(a);
    fuzz_unload(a);
    atomic_fetch_add(&a->child_ran, 1);
}

/* A thread of another CPU goes on with the actor's range, while the actor waits. */
static void op_thread(struct actor *a)
{
    struct thread *thread;
    cpu_t cpu = any_cpu(a);
    u32 before = atomic_load_relaxed(&a->child_ran);
    fuzz_unload(a);
    a->loaded_for = 0;
    err_t e = thread_create(cpu, "fuzz child", child, a, &thread);
    if (!expect_error(a, "thread_create", cpu, e, ERR_OK) || e != ERR_OK)
        return;
    thread_start(thread);
    if (!wait_until_u32(&a->child_ran, before + 1))
        panic("fuzz: a thread on CPU %u does not end", cpu);
}

static void op_go(struct actor *a)
{
    cpu_t to = any_cpu(a);
    fuzz_unload(a);
    a->loaded_for = 0;
    err_t e = thread_move(thread_self(), to);
    expect(a, e == ERR_OK && cpu_self() == to, "thread_move", to, cpu_self(), to);
}

/* ---- all of them ---- */

void fuzz_step(struct actor *a)
{
    static const u32 sizes[] = {1, 1, 1, 2, 7, 40, 300, 520};
    u32 first = (u32)rnd(a, rnd(a, 2) ? PAGES : 24), n = sizes[rnd(a, ARRAY_SIZE(sizes))];
    n = MIN(n, PAGES - first);
    do
        a->m = &fuzz_model[rnd(a, SPACES)];
    while (!a->m->space);
    a->page = a->m->page[a->index];
    switch (rnd(a, 24)) {
    case 0:
    case 1:
    case 2:
    case 3:
        op_map(a, first, n);
        break;
    case 4:
    case 5:
        op_unmap(a, first, n);
        break;
    case 6:
    case 7:
        op_protect(a, first, n);
        break;
    case 8:
    case 9:
        op_discard(a, first, n);
        break;
    case 10:
    case 11:
        op_move(a, first, n);
        break;
    case 12:
        op_harvest(a, first, n);
        break;
    case 13:
        op_populate(a, first, MIN(n, 64u));
        break;
    case 14:
        op_merge(a);
        break;
    case 15:
        op_wrong(a, first);
        break;
    case 16:
        op_thread(a);
        break;
    case 17:
        op_go(a);
        break;
    default:
        use_some(a);
    }
    for (u32 i = 0; i < 4; i++)
        fuzz_check_page(a, (u32)rnd(a, PAGES));
}

void fuzz_check_page(struct actor *a, u32 i)
{
    const struct page *p = &a->page[i];
    struct region r;
    struct pt_entry e = space_query(a->m->space, va_of(a, i));
    bool there = region_query(a->m->space, va_of(a, i), &r);
    if (!expect(a, there == (p->prot != NOTHING), "a query: region", i, there, p->prot != NOTHING))
        return;
    if (there)
        expect(a, r.prot == p->prot, "a query: rights of the region", i, r.prot, p->prot);
    if (!e.present) {
        expect(a, p->prot == NOTHING || p->content == 0, "a page was lost", i, 0, p->content);
        return;
    }
    expect(a, there, "a query: mapped without a region", i, e.pa.v, 0);
    expect(a, !(e.prot & PT_WRITE) || (p->prot & PT_WRITE), "a query: mapped writable", i, e.prot, p->prot);
    const u64 *word = phys_to_virt(paddr_add(e.pa, va_of(a, i) & ((1ull << e.size) - 1)));
    expect(a, *word == p->content, "a page's memory", i, *word, p->content);
}
