/* Regions against a model that is too simple to be wrong: an array of pages with their content. Random operations on several spaces that
 * are copies of one another, on CPUs that cache what they touch and go on using it until they are told, with memory and limits that run out.
 *
 *     sources: tests/host/region_machine.c tests/host/phys.c mm/region.c mm/region_table.c mm/region_fault.c mm/region_unmap.c
 *     sources: mm/region_clone.c mm/region_move.c mm/space_ops.c mm/pt_table.c mm/pt_map.c mm/pt_change.c mm/pt_size.c mm/pt_walk.c
 *     sources: mm/pt_leaf.c mm/frame.c mm/frame_init.c mm/frame_buddy.c mm/frame_cache.c mm/frame_map.c
 *     sanitize: address,undefined */
#include "mm/frame.h"
#include "mm/layout.h"
#include "mm/region.h"
#include "tests/host/phys.h"
#include "tests/host/region_machine.h"

#define BASE    (512 * GIB - 2 * MIB) /* the PML4 entry ends after the first 2 MiB */
#define PAGES   2048u                 /* 8 MiB */
#define SPACES  4u
#define ROUNDS  12u
#define STEPS   900u
#define NOTHING 0xffu

struct page {
    u8 prot;    /* NOTHING: no region */
    bool dirty; /* written since the last harvest */
    u64 content;
};
struct model {
    struct space *space; /* NULL: unused */
    struct page page[PAGES];
};
static struct model model[SPACES];
static u64 serial;

static u64 seed;
static u64 rnd(u64 n) /* xorshift64*: the same sequence on every host */
{
    seed ^= seed >> 12;
    seed ^= seed << 25;
    seed ^= seed >> 27;
    return (seed * 0x2545f4914f6cdd1dull >> 11) % n;
}

static vaddr_t va_of(u32 page)
{
    return BASE + page * PAGE_SIZE;
}

/* ---- uses of pages ---- */

/* Writes that CPUs make by what they have cached, after the tables have changed and before the flush: each lands in the page as it
 * was, and whatever the operation makes of that page has it. */
#define LATE_MAX 64u
static struct late {
    struct space *space;
    u32 page;
    u64 content;
} late[LATE_MAX];
static u32 late_count;

static void write_late(struct space *s)
{
    for (u32 c = 0; c < MACHINE_CPUS; c++)
        for (u32 i = 0; i < MACHINE_ENTRIES && late_count < LATE_MAX; i++) {
            struct cached *e = &machine_cpu[c].tlb[i];
            if (e->space != s || !e->write || !e->dirty || rnd(4))
                continue;
            u32 page = (u32)((e->va - BASE) / PAGE_SIZE + rnd(e->size / PAGE_SIZE));
            late[late_count] = (struct late){s, page, ++serial};
            *(u64 *)host_phys_to_virt(PADDR(e->pa + (va_of(page) - e->va))) = serial;
            late_count++;
        }
}

/* They are in the page, if it is still there, and in its copies made by this operation. */
static void apply_late(struct model *m, u32 from, u32 pages, u32 to, struct model *copy)
{
    for (u32 i = 0; i < late_count; i++) {
        u32 page = late[i].page;
        if (page >= from && page < from + pages)
            page = to + (page - from);
        if (m->page[page].prot != NOTHING) {
            m->page[page].content = late[i].content;
            m->page[page].dirty = true;
        }
        if (copy && copy->page[page].prot != NOTHING)
            copy->page[page].content = late[i].content;
    }
    late_count = 0;
}

static void use_page(struct model *m, u32 page, bool write)
{
    u64 pa;
    bool nomem;
    struct page *p = &m->page[page];
    bool allowed = p->prot != NOTHING && (!write || (p->prot & PT_WRITE));
    bool reached = machine_use((u32)rnd(MACHINE_CPUS), m->space, va_of(page), write, &pa, &nomem);
    apply_late(m, PAGES, 0, 0, NULL);
    if (nomem)
        return;
    if (!HOST_CHECK(reached == allowed, "page %u of space %llu: %s, and the model says the opposite", page,
                    (unsigned long long)m->space->id, reached ? "reached" : "refused"))
        return;
    if (!reached)
        return;
    u64 *word = host_phys_to_virt(PADDR(pa));
    HOST_CHECK(*word == p->content, "page %u of space %llu holds %llx instead of %llx", page,
               (unsigned long long)m->space->id, (unsigned long long)*word, (unsigned long long)p->content);
    if (write) {
        *word = p->content = ++serial;
        p->dirty = true;
    }
}

/* ---- operations ---- */

static bool all_have_region(const struct model *m, u32 first, u32 n)
{
    for (u32 i = first; i < first + n; i++)
        if (m->page[i].prot == NOTHING)
            return false;
    return true;
}
static bool none_has_region(const struct model *m, u32 first, u32 n)
{
    for (u32 i = first; i < first + n; i++)
        if (m->page[i].prot != NOTHING)
            return false;
    return true;
}
static bool out_of_room(err_t e)
{
    return e == ERR_NOMEM || e == ERR_FULL;
}

static void op_map(struct model *m, u32 first, u32 n)
{
    bool large = !rnd(3);
    vaddr_t at;
    u32 prot = rnd(4) ? PT_USER | PT_WRITE : PT_USER;
    if (large) {
        first &= ~511u;
        n = n > 512 ? 1024 : 512;
    }
    n = MIN(n, PAGES - first);
    err_t e =
        region_map(m->space, va_of(first), n * PAGE_SIZE, prot, REGION_ZERO, large ? PT_2M : PT_4K, &at);
    bool free = none_has_region(m, first, n);
    HOST_CHECK(e == (free ? ERR_OK : ERR_EXIST) || out_of_room(e), "map: %d, %d", e, free);
    for (u32 i = first; e == ERR_OK && i < first + n; i++)
        m->page[i] = (struct page){.prot = (u8)prot};
}

static void op_unmap(struct model *m, u32 first, u32 n)
{
    err_t e = region_unmap(m->space, va_of(first), va_of(first + n));
    HOST_CHECK(e == ERR_OK || out_of_room(e), "unmap: %d", e);
    for (u32 i = first; e == ERR_OK && i < first + n; i++)
        m->page[i].prot = NOTHING;
    apply_late(m, PAGES, 0, 0, NULL);
}

static void op_protect(struct model *m, u32 first, u32 n)
{
    u32 prot = rnd(2) ? PT_USER | PT_WRITE : PT_USER;
    err_t e = region_protect(m->space, va_of(first), va_of(first + n), prot);
    bool covered = all_have_region(m, first, n);
    HOST_CHECK(e == (covered ? ERR_OK : ERR_ABSENT) || out_of_room(e), "protect: %d, %d", e, covered);
    for (u32 i = first; e == ERR_OK && i < first + n; i++)
        m->page[i].prot = (u8)prot;
    apply_late(m, PAGES, 0, 0, NULL);
}

static void op_discard(struct model *m, u32 first, u32 n)
{
    err_t e = region_discard(m->space, va_of(first), va_of(first + n));
    bool covered = all_have_region(m, first, n);
    HOST_CHECK(e == (covered ? ERR_OK : ERR_ABSENT) || e == ERR_NOMEM, "discard: %d, %d", e, covered);
    apply_late(m, PAGES, 0, 0, NULL);
    for (u32 i = first; e == ERR_OK && i < first + n; i++) {
        m->page[i].content = 0;
        m->page[i].dirty = false;
    }
}

static void op_move(struct model *m, u32 first, u32 n)
{
    u32 to = (u32)rnd(PAGES - n + 1);
    if (rnd(2))
        to = (to & ~511u) | (first & 511u);
    if (to + n > PAGES)
        return;
    err_t e = region_move(m->space, va_of(first), n * PAGE_SIZE, va_of(to));
    if (e == ERR_OK) {
        static struct page moved[PAGES];
        HOST_CHECK(all_have_region(m, first, n) && none_has_region(m, to, n), "a move that should not be");
        for (u32 i = 0; i < n; i++) {
            moved[i] = m->page[first + i];
            m->page[first + i].prot = NOTHING;
        }
        for (u32 i = 0; i < n; i++)
            m->page[to + i] = moved[i];
    } else {
        HOST_CHECK(e == ERR_ABSENT || e == ERR_EXIST || e == ERR_INVAL || out_of_room(e), "move: %d", e);
    }
    apply_late(m, e == ERR_OK ? first : PAGES, e == ERR_OK ? n : 0, to, NULL);
}

static void op_harvest(struct model *m, u32 first, u32 n)
{
    static u8 age[PAGES];
    err_t e = region_harvest(m->space, va_of(first), va_of(first + n), age);
    bool covered = all_have_region(m, first, n);
    HOST_CHECK(e == (covered ? ERR_OK : ERR_ABSENT), "harvest: %d, %d", e, covered);
    for (u32 i = 0; e == ERR_OK && i < n; i++) {
        struct page *p = &m->page[first + i];
        HOST_CHECK(!p->dirty || (age[i] & REGION_PAGE_DIRTY), "page %u was written, and the harvest says %x",
                   first + i, age[i]);
        HOST_CHECK(age[i] == 0 || (age[i] & REGION_PAGE_PRESENT), "page %u: %x", first + i, age[i]);
        p->dirty = false;
    }
    /* A late write between the harvest and the flush went to a page whose dirty bit the CPU held to be set: it is this
     * harvest's, and must not be the next one's. */
    u32 n_late = late_count;
    struct late kept[LATE_MAX];
    memcpy(kept, late, sizeof(kept));
    apply_late(m, PAGES, 0, 0, NULL);
    for (u32 i = 0; i < n_late && e == ERR_OK; i++)
        m->page[kept[i].page].dirty = false;
}

static void op_clone(struct model *m)
{
    u32 i = 0;
    while (i < SPACES && model[i].space)
        i++;
    if (i == SPACES) { /* one has to go */
        i = (u32)rnd(SPACES);
        if (&model[i] == m)
            return;
        region_destroy_all(model[i].space);
        machine_space_end(model[i].space);
        late_count = 0;
    }
    struct space *copy = machine_space();
    model[i].space = NULL;
    if (!copy)
        return;
    copy->frames_max = m->space->frames_max;
    err_t e = region_clone(m->space, copy);
    if (e == ERR_OK) {
        model[i] = *m;
        model[i].space = copy;
        /* A page that was written through the original is not dirty in the copy: nobody has written to it there. */
        for (u32 p = 0; p < PAGES; p++)
            model[i].page[p].dirty = false;
    } else {
        HOST_CHECK(out_of_room(e), "clone: %d", e);
        region_destroy_all(copy);
        machine_space_end(copy);
    }
    apply_late(m, PAGES, 0, 0, e == ERR_OK ? &model[i] : NULL);
}

static void op_populate(struct model *m, u32 first, u32 n)
{
    err_t e = region_populate(m->space, va_of(first), va_of(first + n));
    bool covered = all_have_region(m, first, n);
    HOST_CHECK(e == (covered ? ERR_OK : ERR_ABSENT) || e == ERR_NOMEM, "populate: %d, %d", e, covered);
    for (u32 i = first; e == ERR_OK && i < first + n; i++)
        HOST_CHECK(phys_walk(m->space->pt.root.v, va_of(i)).present, "page %u is not there", i);
}

static void op_merge(struct model *m, u32 first)
{
    err_t e = region_merge(m->space, va_of(first & ~511u));
    HOST_CHECK(e == ERR_OK || e == ERR_INVAL || e == ERR_ABSENT, "merge: %d", e);
    apply_late(m, PAGES, 0, 0, NULL);
}

/* ---- the whole ---- */

static void check_model(const struct model *m)
{
    for (u32 i = 0; i < PAGES; i++) {
        struct region r;
        struct phys_translation tr = phys_walk(m->space->pt.root.v, va_of(i));
        const struct page *p = &m->page[i];
        bool there = region_query(m->space, va_of(i), &r);
        HOST_CHECK(there == (p->prot != NOTHING), "page %u: region %d", i, there);
        if (there)
            HOST_CHECK(r.prot == p->prot, "page %u: rights %x instead of %x", i, r.prot, p->prot);
        if (!tr.present) {
            HOST_CHECK(p->prot == NOTHING || p->content == 0, "page %u has lost %llx", i,
                       (unsigned long long)p->content);
            continue;
        }
        HOST_CHECK(there && tr.user && (!tr.write || (p->prot & PT_WRITE)), "page %u is mapped with too much",
                   i);
        u64 word = *(u64 *)host_phys_to_virt(PADDR(tr.pa));
        HOST_CHECK(word == p->content, "page %u holds %llx instead of %llx", i, (unsigned long long)word,
                   (unsigned long long)p->content);
    }
}

static void step(void)
{
    u32 which = (u32)rnd(SPACES);
    struct model *m = &model[which];
    if (!m->space)
        return;
    static const u32 sizes[] = {1, 1, 2, 7, 40, 300, 512, 700, 1300};
    u32 first = (u32)rnd(PAGES), n = sizes[rnd(ARRAY_SIZE(sizes))];
    if (!rnd(3))
        first &= ~511u;
    n = MIN(n, PAGES - first);
    late_count = 0;
    u32 op = (u32)rnd(22);
    if (getenv("EACH"))
        fprintf(stderr, "op %u space %llu first %u n %u\n", op, (unsigned long long)m->space->id, first, n);
    switch (op) {
    case 0:
    case 1:
    case 2:
        op_map(m, first, n);
        break;
    case 3:
        op_unmap(m, first, n);
        break;
    case 4:
    case 5:
        op_protect(m, first, n);
        break;
    case 6:
    case 7:
    case 8:
        op_discard(m, first, n);
        break;
    case 9:
    case 10:
        op_move(m, first, n);
        break;
    case 11:
    case 12:
        op_clone(m);
        break;
    case 13:
        op_harvest(m, first, n);
        break;
    case 14:
        op_populate(m, first, n);
        break;
    case 15:
        op_merge(m, first);
        break;
    default:
        for (u32 i = 0; i < 24; i++)
            use_page(m, (first + (rnd(3) ? i : (u32)rnd(PAGES))) % PAGES, rnd(2));
        break;
    }
    machine_check();
}

static void play(u64 with, u64 frames_max, u64 leave, bool defers)
{
    paddr_t hog[PHYS_SIZE / PAGE_SIZE];
    u32 hogs = 0;
    machine_start();
    machine_before_flush = write_late;
    machine_defers = defers;
    u64 before = machine_free_frames();
    while (leave && machine_free_frames() > leave && frame_alloc(FRAME_OWNER_TEST, &hog[hogs]) == ERR_OK)
        hogs++;
    seed = with;
    memset(model, 0, sizeof(model));
    for (u32 i = 0; i < PAGES; i++)
        model[0].page[i].prot = NOTHING;
    model[0].space = machine_space();
    model[0].space->frames_max = frames_max;
    for (u32 i = 0; i < STEPS; i++) {
        u64 failures = host_failures;
        step();
        if (i % 64 == 63 || getenv("EACH"))
            for (u32 j = 0; j < SPACES; j++)
                if (model[j].space)
                    check_model(&model[j]);
        if (failures != host_failures) {
            fprintf(stderr, "  seed %llx, step %u\n", (unsigned long long)with, i);
            break;
        }
    }
    for (u32 j = 0; j < SPACES; j++)
        if (model[j].space) {
            region_destroy_all(model[j].space);
            machine_space_end(model[j].space);
        }
    while (hogs)
        frame_free(hog[--hogs]);
    HOST_CHECK(machine_free_frames() == before, "%lld frames are missing",
               (long long)(before - machine_free_frames()));
}

HOST_TEST(random_operations_match_a_simple_model)
{
    for (u32 i = 0; i < ROUNDS; i++)
        play(0x9e3779b97f4a7c15ull * (i + 1), ~0ull, 0, false);
}

HOST_TEST(they_do_when_the_limit_is_reached)
{
    for (u32 i = 0; i < ROUNDS; i++)
        play(0xc2b2ae3d27d4eb4full * (i + 1), 40 + 200 * i, 0, false);
}

HOST_TEST(they_do_when_memory_is_out)
{
    for (u32 i = 0; i < ROUNDS; i++)
        play(0x165667b19e3779f9ull * (i + 1), ~0ull, 60 + 150 * i, false);
}

HOST_TEST(they_do_when_what_was_given_up_comes_back_late)
{
    for (u32 i = 0; i < ROUNDS; i++)
        play(0x27d4eb2f165667c5ull * (i + 1), 40 + 200 * i, i % 2 ? 0 : 200 + 300 * i, true);
}
