/* Ranges: every page of what was unmapped is forgotten by every CPU, and nothing beside it is lost. */
#include "apic/apic.h"
#include "kernel/trap.h"
#include "kernel/worker.h"
#include "lib/context.h"
#include "lib/wait.h"
#include "mm/frame.h"
#include "smp/cpus.h"
#include "tests/residents.h"
#include "tests/window.h"

#define RANGE_MS 5000u

/* Pages [guard, first, ..., last, guard]: the guards stay. TCG keeps at most 64 entries alive after a reload of CR3, until it
 * has seen more use, so ranges that are to be caught there stay below that. */
#define PAGES_MAX 62u

static struct range {
    struct space *space;
    vaddr_t start;
    u32 pages;
    u32 turn; /* 0: the others touch; 1: unmapped */
    struct range_looker {
        u32 ready, finished;
        u32 stale, lost; /* pages that were still there; guards that were not */
        vaddr_t where;
    } CACHE_ALIGNED looker[MAX_CPUS];
} range;

static u64 content_of(vaddr_t va)
{
    return va ^ 0x7a9e5a5a5a5a5a5aull;
}

static bool reads_content(vaddr_t va)
{
    u64 v;
    return safe_read_u64((const void *)va, &v) == 0 && v == content_of(va);
}

static bool faults(vaddr_t va)
{
    u64 v;
    return safe_read_u64((const void *)va, &v) == EXC_PAGE_FAULT;
}

static void look(struct range_looker *l)
{
    vaddr_t end = range.start + range.pages * PAGE_SIZE;
    for (vaddr_t va = range.start; va < end; va += PAGE_SIZE)
        if (!faults(va) && !l->stale++)
            l->where = va;
    if (!reads_content(range.start - PAGE_SIZE))
        l->lost++;
    if (!reads_content(end))
        l->lost++;
}

/* All pages, twice: the first pass may only grow an emulator's TLB. */
static bool touch(void)
{
    bool all = true;
    for (u32 pass = 0; pass < 2; pass++)
        for (u32 i = 0; i < range.pages + 2; i++)
            all = reads_content(range.start + i * PAGE_SIZE - PAGE_SIZE) && all;
    return all;
}

static void looker_main(void *arg)
{
    struct range_looker *l = arg;
    preempt_disable();
    space_load(range.space);
    u32 ready = touch() ? 1 : 2;
    /* orders: the entries cached here before the unmap; pairs with: tests/shootdown_range.c:lookers_ready (acquire); else:
     * there would be nothing stale to find. */
    atomic_store_release(&l->ready, ready);
    struct wait w = WAIT("the range to be unmapped", wait_ms(RANGE_MS));
    /* orders: the unmap before our look; pairs with: tests/shootdown_range.c:check_range (release); else: pages would be
     * found that are still mapped. */
    while (!atomic_load_acquire(&range.turn))
        if (!wait_spin(&w))
            break;
    look(l);
    l->finished = 1;
    space_load(NULL);
    preempt_enable();
}

static bool lookers_ready(struct test *t, const cpumask_t *cpus)
{
    CPUMASK_FOREACH (c, cpus) {
        struct wait w = WAIT("a CPU to touch the range", wait_ms(RANGE_MS));
        u32 ready;
        /* orders: as beside its store; pairs with: tests/shootdown_range.c:looker_main (release); else: as there. */
        while (!(ready = atomic_load_acquire(&range.looker[c].ready)))
            if (!wait_spin(&w))
                break;
        if (!CHECK(t, ready == 1, "CPU %u %s", c,
                   ready ? "did not find the range's content" : "did not start"))
            return false;
    }
    return true;
}

static bool map_range(struct test *t)
{
    for (u32 i = 0; i < range.pages + 2; i++) {
        vaddr_t va = range.start + i * PAGE_SIZE - PAGE_SIZE;
        err_t e = space_map_fresh(range.space, va, 1, PT_WRITE, FRAME_OWNER_TEST);
        if (!CHECK(t, e == ERR_OK, "%llx cannot be mapped: %s", (unsigned long long)va, err_name(e)))
            return false;
        observe_fill(space_query(range.space, va).pa, content_of(va));
    }
    return true;
}

/* Every CPU caches all of the range and its two neighbours; it is unmapped; every CPU looks at each page. */
static void check_range(struct test *t, vaddr_t start, u32 pages)
{
    cpumask_t others = {0};
    range.start = start;
    range.pages = pages;
    range.turn = 0;
    bool started = map_range(t);
    CPUMASK_FOREACH (c, &cpus_online) {
        if (c == cpu_self() || !started)
            continue;
        range.looker[c] = (struct range_looker){0};
        err_t e = worker_start(c, looker_main, &range.looker[c]);
        started = CHECK(t, e == ERR_OK, "CPU %u: %s", c, err_name(e));
        if (started)
            cpumask_set(&others, c);
    }
    if (started && lookers_ready(t, &others)) {
        CHECK(t, touch(), "the range cannot be read here");
        err_t e = space_unmap(range.space, start, start + pages * PAGE_SIZE);
        CHECK(t, e == ERR_OK, "%u pages at %llx: %s", pages, (unsigned long long)start, err_name(e));
    }
    /* orders: the unmap before the others' look; pairs with: tests/shootdown_range.c:looker_main (acquire); else: as there. */
    atomic_store_release(&range.turn, 1);
    range.looker[cpu_self()] = (struct range_looker){.finished = 1};
    look(&range.looker[cpu_self()]);
    CPUMASK_FOREACH (c, &others)
        CHECK(t, worker_wait(c, 2 * RANGE_MS) == ERR_OK, "CPU %u does not finish", c);
    cpumask_set(&others, cpu_self());
    CPUMASK_FOREACH (c, &others) {
        const struct range_looker *l = &range.looker[c];
        CHECK(t, l->finished && !l->stale,
              "%s: %u pages at %llx: CPU %u still reached %u of them, first %llx", shootdown_policy()->name,
              pages, (unsigned long long)start, c, l->stale, (unsigned long long)l->where);
        CHECK(t, !l->lost, "%u pages at %llx: CPU %u lost %u of the two neighbours", pages,
              (unsigned long long)start, c, l->lost);
    }
    CHECK(t, space_unmap(range.space, start - PAGE_SIZE, start + (pages + 1) * PAGE_SIZE) == ERR_OK,
          "unmap all");
}

/* Plays check_range under every policy, in one space that is loaded here. */
static void check_range_everywhere(struct test *t, vaddr_t start, u32 pages)
{
    const struct shootdown_policy *before;
    TABLE_FOREACH (policy, struct shootdown_policy, p)
        if (POLICY_USABLE(p) && policy_use(t, p->name, &before)) {
            check_range(t, start, pages);
            policy_restore(t, before);
        }
}

static bool range_begin(struct test *t)
{
    if (!CHECK(t, space_create(&range.space) == ERR_OK, "no space"))
        return false;
    preempt_disable();
    space_load(range.space);
    preempt_enable();
    return true;
}

static void range_end(void)
{
    preempt_disable();
    space_load(NULL);
    preempt_enable();
    space_destroy(range.space);
}

static void shootdown_range_at_ceiling(struct test *t)
{
    if (!range_begin(t))
        return;
    u32 c = MIN(shootdown_ceiling, PAGES_MAX - 1);
    if (c > 1)
        check_range_everywhere(t, RESIDENTS_FREE_VA, c - 1);
    check_range_everywhere(t, RESIDENTS_FREE_VA, c);
    check_range_everywhere(t, RESIDENTS_FREE_VA, c + 1);
    range_end();
}
TEST(shootdown_range_at_ceiling,
     "ranges one page below, at and above the full-flush ceiling, first to last page");

static void shootdown_range_of_one(struct test *t)
{
    if (!range_begin(t))
        return;
    check_range_everywhere(t, RESIDENTS_FREE_VA, 1);
    check_range_everywhere(t, RESIDENTS_FREE_VA, 2);
    range_end();
}
TEST(shootdown_range_of_one, "ranges of one and two pages between two that stay");

static void shootdown_range_crosses_tables(struct test *t)
{
    /* Each lies half below and half above the border of a table of that level; the guards keep both tables in use. */
    static const u64 border[] = {2 * MIB, GIB, 512 * GIB};
    if (!range_begin(t))
        return;
    for (u32 i = 0; i < ARRAY_SIZE(border); i++)
        check_range_everywhere(t, ALIGN_UP(TEST_USER_VA, border[i]) - 2 * PAGE_SIZE, 4);
    range_end();
}
TEST(shootdown_range_crosses_tables, "ranges across the borders of page tables of every level");

static void shootdown_range_ends_of_user_half(struct test *t)
{
    if (!range_begin(t))
        return;
    /* Its neighbour on the right is the last page of the user half. */
    check_range_everywhere(t, USER_END - 4 * PAGE_SIZE, 3);
    check_range_everywhere(t, USER_START + PAGE_SIZE, 3);
    range_end();
}
TEST(shootdown_range_ends_of_user_half, "ranges at the first and the last pages of the user half");

struct bad_range {
    vaddr_t start, end;
    const char *what;
};

static void shootdown_refuses_bad_ranges(struct test *t)
{
    static const struct bad_range bad[] = {
        {TEST_USER_VA, TEST_USER_VA, "zero length"},
        {TEST_USER_VA + 1, TEST_USER_VA + PAGE_SIZE, "unaligned start"},
        {TEST_USER_VA, TEST_USER_VA + 100, "unaligned end"},
        {TEST_USER_VA + PAGE_SIZE, TEST_USER_VA, "end before start"},
        {0ull - PAGE_SIZE, PAGE_SIZE, "wrap-around"},
        {0, PAGE_SIZE, "page 0"},
        {USER_END - PAGE_SIZE, USER_END + PAGE_SIZE, "over the end of the user half"},
        {USER_END, DIRECT_MAP_BASE, "the non-canonical hole"},
        {USER_END - PAGE_SIZE, DIRECT_MAP_BASE + PAGE_SIZE, "from half to half"},
        {DIRECT_MAP_BASE, DIRECT_MAP_BASE + PAGE_SIZE, "the direct map in a user space"},
    };
    struct residents r;
    if (residents_enter(t, &r)) {
        u64 icr = apic_icr_writes();
        tlb_gen_t gen = r.space->gen;
        for (u32 i = 0; i < ARRAY_SIZE(bad); i++) {
            err_t e = space_unmap(r.space, bad[i].start, bad[i].end);
            CHECK(t, e == ERR_INVAL || e == ERR_RANGE, "unmap, %s: %s", bad[i].what, err_name(e));
            e = space_protect(r.space, bad[i].start, bad[i].end, PT_READ);
            CHECK(t, e == ERR_INVAL || e == ERR_RANGE, "protect, %s: %s", bad[i].what, err_name(e));
        }
        err_t e = space_unmap(&kernel_space, TEST_USER_VA, TEST_USER_VA + PAGE_SIZE);
        CHECK(t, e == ERR_RANGE, "a user page in the kernel's space: %s", err_name(e));
        e = space_unmap(&kernel_space, KERNEL_BASE + MIB, KERNEL_BASE + MIB + PAGE_SIZE);
        CHECK(t, e == ERR_RANGE, "the kernel's own text: %s", err_name(e));
        CHECK(t, r.space->gen == gen && apic_icr_writes() == icr,
              "refused ranges told somebody: %llu interrupts", (unsigned long long)(apic_icr_writes() - icr));
    }
    residents_leave(t, &r);
}
TEST(shootdown_refuses_bad_ranges,
     "unaligned, empty, wrapping, non-canonical and foreign ranges are refused");
