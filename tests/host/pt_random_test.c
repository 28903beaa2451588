/* Page tables against a model that is too simple to be wrong: a list of [start, end) -> (pa, prot). Random
 * operations with pages of all sizes over a range that crosses a PML4 entry; an independent walker compares.
 *
 *     sources: tests/host/phys.c mm/pt_table.c mm/pt_map.c mm/pt_change.c mm/pt_size.c mm/pt_walk.c
 *     sanitize: address,undefined */
#include "mm/layout.h"
#include "tests/host/host.h"
#include "tests/host/phys.h"

#define BASE     (512 * GIB - 2 * GIB) /* the PML4 entry ends in the middle */
#define SIZE     (4 * GIB)
#define ROUNDS   40u
#define STEPS    250u
#define RUNS_MAX 2048u

static struct phys_pool pool;
static struct pt pt;

static u64 seed;
static u64 rnd(u64 n) /* xorshift64*: the same sequence on every host */
{
    seed ^= seed >> 12;
    seed ^= seed << 25;
    seed ^= seed >> 27;
    return (seed * 0x2545f4914f6cdd1dull >> 11) % n;
}

/* ---- the model: runs of equal rights, in no order ---- */

struct run {
    vaddr_t start, end;
    u64 pa;
    u32 prot;
};
static struct run runs[RUNS_MAX];
static u32 run_count;

static const struct run *run_at(vaddr_t va)
{
    for (u32 i = 0; i < run_count; i++)
        if (runs[i].start <= va && va < runs[i].end)
            return &runs[i];
    return NULL;
}

static bool overlaps(vaddr_t start, vaddr_t end)
{
    for (u32 i = 0; i < run_count; i++)
        if (runs[i].start < end && start < runs[i].end)
            return true;
    return false;
}

static void put(vaddr_t start, vaddr_t end, u64 pa, u32 prot)
{
    if (run_count == RUNS_MAX)
        abort();
    runs[run_count++] = (struct run){start, end, pa, prot};
}

/* No run crosses va. */
static void cut(vaddr_t va)
{
    for (u32 i = 0; i < run_count; i++)
        if (runs[i].start < va && va < runs[i].end) {
            put(va, runs[i].end, runs[i].pa + (va - runs[i].start), runs[i].prot);
            runs[i].end = va;
        }
}

static void drop(vaddr_t start, vaddr_t end)
{
    cut(start);
    cut(end);
    for (u32 i = 0; i < run_count;)
        if (runs[i].start < end && start < runs[i].end)
            runs[i] = runs[--run_count];
        else
            i++;
}

/* ---- comparing ---- */

static void compare(vaddr_t va, const char *what)
{
    const struct run *r = run_at(va);
    struct phys_translation t = phys_walk(pt.root.v, va);
    struct pt_entry e = pt_walk(&pt, va);
    HOST_CHECK(t.present == (r != NULL) && e.present == t.present, "%s: %llx", what, (unsigned long long)va);
    if (!r || !t.present)
        return;
    u32 cache = r->prot & PT_UNCACHED ? 3 : r->prot & PT_WRITE_COMBINE ? 4 : 0;
    HOST_CHECK(t.pa == r->pa + (va - r->start) && t.write == !!(r->prot & PT_WRITE) &&
                   t.exec == !!(r->prot & PT_EXEC) && t.user == !!(r->prot & PT_USER) &&
                   t.global == !!(r->prot & PT_GLOBAL) && t.cache == cache,
               "%s: %llx has pa %llx", what, (unsigned long long)va, (unsigned long long)t.pa);
    HOST_CHECK(e.prot == r->prot && e.pa.v + (va & ((1ull << e.size) - 1)) == t.pa, "%s: pt_walk", what);
}

static bool sum_up(void *arg, vaddr_t va, const struct pt_entry *e)
{
    u64 *sum = arg;
    HOST_CHECK(va >= sum[1], "pt_for_each goes up: %llx", (unsigned long long)va);
    sum[0] += 1ull << e->size;
    sum[1] = va + (1ull << e->size);
    return true;
}

static void compare_all(const char *what)
{
    u64 model = 0, sum[2] = {0};
    for (u32 i = 0; i < run_count; i++) {
        model += runs[i].end - runs[i].start;
        compare(runs[i].start, what);
        compare(runs[i].end - 1, what);
        compare(runs[i].end, what);
        compare(runs[i].start - 1, what);
    }
    pt_for_each(&pt, USER_START, USER_END, sum_up, sum);
    HOST_CHECK(sum[0] == model, "%s: %llu bytes mapped, model %llu", what, (unsigned long long)sum[0],
               (unsigned long long)model);
    HOST_CHECK(phys_tables(pt.root.v) == pool.allocated + 1 - pool.retired - pool.freed, "%s: tables lost",
               what);
}

/* ---- operations ---- */

static const enum pt_size sizes[] = {PT_4K, PT_2M, PT_1G};

static u32 random_prot(void)
{
    static const u32 cache[] = {0, 0, 0, PT_UNCACHED, PT_WRITE_COMBINE};
    return (u32)rnd(16) | cache[rnd(5)];
}

/* Most addresses lie near a few boundaries, so that operations meet. */
static vaddr_t random_va(enum pt_size size)
{
    static const u64 near[] = {0, GIB, 2 * GIB, 3 * GIB, 3 * GIB + 2 * MIB};
    u64 offset = rnd(4) ? near[rnd(5)] + rnd(16) * PAGE_SIZE + rnd(3) * 2 * MIB : rnd(SIZE);
    return BASE + ALIGN_DOWN(offset % SIZE, 1ull << size);
}

static u64 random_pa(vaddr_t va, enum pt_size size)
{
    /* Sometimes in step with va, so that large pages fit. */
    return rnd(2) ? ALIGN_DOWN(rnd(1ull << 40), 1ull << size) : rnd(64) * GIB + va % GIB;
}

static u64 random_length(vaddr_t va)
{
    u64 most = BASE + SIZE - va;
    u64 length = (rnd(64) + 1) * (rnd(3) ? PAGE_SIZE : 2 * MIB);
    return MIN(rnd(20) ? length : GIB + length, most);
}

static void random_map(void)
{
    enum pt_size size = sizes[rnd(3)];
    vaddr_t va = random_va(size);
    u64 bytes = 1ull << size, pa = ALIGN_DOWN(random_pa(va, size), bytes);
    u32 prot = random_prot();
    err_t e = pt_map(&pt, va, PADDR(pa), size, prot);
    HOST_CHECK(e == (overlaps(va, va + bytes) ? ERR_EXIST : ERR_OK), "map %llx: %d", (unsigned long long)va,
               e);
    if (e == ERR_OK)
        put(va, va + bytes, pa, prot);
    compare(va, "map");
}

static void random_map_range(void)
{
    vaddr_t va = random_va(PT_4K);
    u64 bytes = random_length(va), pa = random_pa(va, PT_4K);
    u32 prot = random_prot();
    /* 1 GiB of 4 KiB pages would only take time. */
    err_t e = pt_map_range(&pt, va, PADDR(pa), bytes, bytes > GIB ? PT_1G : sizes[rnd(3)], prot);
    HOST_CHECK(e == (overlaps(va, va + bytes) ? ERR_EXIST : ERR_OK), "map range %llx: %d",
               (unsigned long long)va, e);
    if (e == ERR_OK)
        put(va, va + bytes, pa, prot);
    compare(va + bytes - 1, "map range");
}

static void random_unmap(void)
{
    vaddr_t va = random_va(sizes[rnd(3)]);
    u64 bytes = random_length(va);
    struct pt_change c;
    u32 retired = pool.retired;
    err_t e = pt_unmap(&pt, va, va + bytes, NULL, &c);
    HOST_CHECK(e == ERR_OK && (c.leaves != 0) == overlaps(va, va + bytes) && c.narrowed == (c.leaves != 0),
               "unmap: %d", e);
    HOST_CHECK(c.tables == pool.retired - retired, "%llu tables", (unsigned long long)c.tables);
    drop(va, va + bytes);
    compare(va, "unmap");
    compare(va + bytes, "unmap");
}

static void random_protect(void)
{
    const u32 rights = PT_WRITE | PT_EXEC | PT_USER;
    vaddr_t va = random_va(sizes[rnd(3)]);
    u64 bytes = random_length(va);
    u32 prot = (u32)rnd(8);
    bool narrowed = false, changed = false;
    struct pt_change c;
    err_t e = pt_protect(&pt, va, va + bytes, prot, NULL, &c);
    cut(va);
    cut(va + bytes);
    for (u32 i = 0; i < run_count; i++)
        if (runs[i].start < va + bytes && va < runs[i].end) {
            narrowed |= (runs[i].prot & rights & ~prot) != 0;
            changed |= (runs[i].prot & rights) != prot;
            runs[i].prot = (runs[i].prot & ~rights) | prot;
        }
    HOST_CHECK(e == ERR_OK && c.narrowed == narrowed && (c.leaves != 0) == changed && !c.tables,
               "protect: %d", e);
    compare(va, "protect");
    compare(va + bytes - 1, "protect");
}

static void random_size_change(void)
{
    vaddr_t va = random_va(PT_4K);
    enum pt_size size = rnd(2) ? PT_2M : PT_1G;
    u64 found = phys_walk(pt.root.v, va).size;
    struct pt_change c;
    if (rnd(2)) {
        err_t e = pt_split(&pt, va, size, &c);
        HOST_CHECK(e == (found == 1ull << size ? ERR_OK : ERR_ABSENT), "split: %d", e);
    } else {
        err_t e = pt_merge(&pt, va, size, &c);
        HOST_CHECK(e == ERR_OK ? phys_walk(pt.root.v, va).size == 1ull << size
                               : e == ERR_INVAL || e == ERR_ABSENT,
                   "merge: %d", e);
        HOST_CHECK(e != ERR_OK || found == 1ull << (size - 9), "what was merged was one size smaller");
    }
    compare(va, "size change");
}

static void random_remap(void)
{
    vaddr_t va = random_va(PT_4K);
    struct phys_translation t = phys_walk(pt.root.v, va);
    enum pt_size size = t.present ? (enum pt_size)__builtin_ctzll(t.size) : PT_4K;
    u64 bytes = 1ull << size, pa = ALIGN_DOWN(random_pa(va, size), bytes), old;
    u32 prot = random_prot();
    va = ALIGN_DOWN(va, bytes);
    err_t e = pt_remap(&pt, va, PADDR(pa), size, prot, &old);
    HOST_CHECK(e == (t.present ? ERR_OK : ERR_ABSENT), "remap: %d", e);
    if (e == ERR_OK) {
        drop(va, va + bytes);
        put(va, va + bytes, pa, prot);
    }
    compare(va + bytes - 1, "remap");
}

HOST_TEST(random_operations_match_a_simple_model)
{
    static void (*const operations[])(void) = {random_map,     random_map_range,   random_unmap,
                                               random_protect, random_size_change, random_remap};
    for (u32 round = 0; round < ROUNDS; round++) {
        seed = 0x9e3779b97f4a7c15ull * (round + 1);
        phys_reset(0x100000000ull);
        phys_pool_init(&pool);
        phys_pt_init(&pt, &pool);
        run_count = 0;
        for (u32 step = 0; step < STEPS; step++) {
            operations[rnd(ARRAY_SIZE(operations))]();
            compare(BASE + rnd(SIZE), "anywhere");
            if (step % 50 == 49)
                compare_all("all");
        }
        struct pt_change c;
        HOST_CHECK(pt_unmap(&pt, USER_START, USER_END, NULL, &c) == ERR_OK && phys_tables(pt.root.v) == 1,
                   "round %u", round);
    }
}
