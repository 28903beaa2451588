/* Page tables, write by write: after every single write that an operation makes, an independent walker finds each
 * address translated as before or as the operation wants it, never otherwise, and never as before again once it was
 * new.
 *
 *     sources: tests/host/phys.c mm/pt_table.c mm/pt_map.c mm/pt_change.c mm/pt_size.c mm/pt_walk.c
 *     sanitize: address,undefined */
#include "lib/atomic.h"
#include "mm/layout.h"
#include "mm/pte.h"
#include "tests/host/host.h"
#include "tests/host/phys.h"

#define VA 0x0000123440000000ull /* 1 GiB aligned */
#define PA 0x0000000740000000ull

static struct phys_pool pool;
static struct pt pt;
static struct pt_change change;

static void fresh(void)
{
    phys_reset(0x100000000ull);
    phys_pool_init(&pool);
    phys_pt_init(&pt, &pool);
}

static void must(err_t e)
{
    HOST_CHECK(e == ERR_OK, "error %d", e);
}

/* ---- the watch ---- */

struct probe {
    vaddr_t va;
    struct phys_translation old, new;
    bool is_new;
};
static struct probe probes[4096];
static u32 probe_count, wrong;

static void look(const struct phys_write *w)
{
    for (u32 i = 0; i < probe_count; i++) {
        struct probe *p = &probes[i];
        struct phys_translation t = phys_walk(pt.root.v, p->va);
        bool fits_new = phys_same(&t, &p->new);
        bool changes = !phys_same(&p->old, &p->new);
        if (!fits_new && (p->is_new || !phys_same(&t, &p->old)))
            wrong++;
        p->is_new |= fits_new && changes;
    }
    (void)w;
}

/* Watches pages of [start, end), every `step` bytes, and one on each side. */
static void watch(vaddr_t start, vaddr_t end, u64 step)
{
    probe_count = wrong = 0;
    for (vaddr_t va = start - PAGE_SIZE; va <= end; va += va == start - PAGE_SIZE ? PAGE_SIZE : step) {
        struct probe *p = &probes[probe_count++];
        *p = (struct probe){.va = va + 0x123, .old = phys_walk(pt.root.v, va + 0x123)};
        p->new = p->old;
    }
}

static void run(const char *what, err_t (*operation)(void), u32 least_writes)
{
    phys_history_start(look);
    err_t e = operation();
    u32 writes = phys_history_stop();
    HOST_CHECK(e == ERR_OK && writes >= least_writes, "%s: error %d after %u writes", what, e, writes);
    HOST_CHECK(wrong == 0, "%s: %u translations were neither old nor new", what, wrong);
    for (u32 i = 0; i < probe_count; i++) {
        struct phys_translation t = phys_walk(pt.root.v, probes[i].va);
        HOST_CHECK(phys_same(&t, &probes[i].new), "%s: %llx is not new at the end", what,
                   (unsigned long long)probes[i].va);
    }
}

#define FOREACH_PROBE_IN(p, start, end)                                                                      \
    for (struct probe *p = probes; p < probes + probe_count; p++)                                            \
        if (p->va >= (start) && p->va < (end))

/* A remap done by clearing the entry first is what the watch exists to see. */
static err_t remap_with_a_gap(void)
{
    u64 *table = host_phys_to_virt(pt.root), e = 0;
    for (u32 level = 3; level > 0; level--) {
        e = atomic_load_relaxed(&table[pt_index(VA, level)]);
        table = host_phys_to_virt(pte_table(e));
    }
    e = atomic_xchg(&table[pt_index(VA, 0)], 0);
    atomic_store_relaxed(&table[pt_index(VA, 0)], e + PAGE_SIZE);
    return ERR_OK;
}

HOST_TEST(the_watch_sees_a_gap)
{
    fresh();
    must(pt_map(&pt, VA, PADDR(PA), PT_4K, PT_WRITE));
    watch(VA, VA + PAGE_SIZE, PAGE_SIZE);
    FOREACH_PROBE_IN(p, VA, VA + PAGE_SIZE)
    p->new.pa += PAGE_SIZE;
    phys_history_start(look);
    must(remap_with_a_gap());
    phys_history_stop();
    HOST_CHECK(wrong == 1, "%u", wrong);
}

/* ---- the operations ---- */

static struct phys_translation page(u64 pa, bool write)
{
    return (struct phys_translation){.present = true, .pa = pa, .write = write};
}

static err_t map_one(void)
{
    return pt_map(&pt, VA, PADDR(PA), PT_4K, PT_WRITE);
}
static err_t map_mixed(void)
{
    return pt_map_range(&pt, VA - 2 * MIB, PADDR(PA - 2 * MIB), GIB + 2 * MIB + PAGE_SIZE, PT_1G, PT_WRITE);
}
static err_t unmap_mixed(void)
{
    return pt_unmap(&pt, VA - MIB, VA + GIB - PAGE_SIZE, NULL, &change);
}
static err_t unmap_table(void)
{
    return pt_unmap(&pt, VA, VA + 2 * MIB, NULL, &change);
}
static err_t protect_mixed(void)
{
    return pt_protect(&pt, VA - MIB, VA + GIB - PAGE_SIZE, 0, NULL, &change);
}
static err_t split_2m(void)
{
    return pt_split(&pt, VA + MIB, PT_2M, &change);
}
static err_t merge_2m(void)
{
    return pt_merge(&pt, VA + MIB, PT_2M, &change);
}
static err_t split_1g(void)
{
    return pt_split(&pt, VA + MIB, PT_1G, &change);
}
static err_t merge_1g(void)
{
    return pt_merge(&pt, VA + MIB, PT_1G, &change);
}
static err_t remap_2m(void)
{
    u64 old;
    return pt_remap(&pt, VA, PADDR(PA + GIB), PT_2M, 0, &old);
}

HOST_TEST(map_has_no_intermediate_state)
{
    fresh();
    watch(VA, VA + PAGE_SIZE, PAGE_SIZE);
    FOREACH_PROBE_IN(p, VA, VA + PAGE_SIZE)
    p->new = page(PA + 0x123, true);
    run("map", map_one, 4); /* three new tables, one link; another 6 move them through the stash */

    fresh();
    watch(VA - 2 * MIB, VA + GIB + PAGE_SIZE, 777 * PAGE_SIZE);
    FOREACH_PROBE_IN(p, VA - 2 * MIB, VA + GIB + PAGE_SIZE)
    p->new = page(PA + (p->va - VA), true);
    run("map of three sizes", map_mixed, 3);
}

HOST_TEST(unmap_and_protect_with_splits_have_no_intermediate_state)
{
    vaddr_t start = VA - MIB, end = VA + GIB - PAGE_SIZE;
    fresh();
    must(map_mixed());
    watch(VA - 2 * MIB, VA + GIB + PAGE_SIZE, 333 * PAGE_SIZE);
    FOREACH_PROBE_IN(p, start, end)
    p->new.write = false;
    run("protect", protect_mixed, 256 + 512);
    HOST_CHECK(change.narrowed && change.leaves == 256 + 511 + 511 && change.stride == PT_4K, "%llu leaves",
               (unsigned long long)change.leaves);

    fresh();
    must(map_mixed());
    watch(VA - 2 * MIB, VA + GIB + PAGE_SIZE, 333 * PAGE_SIZE);
    FOREACH_PROBE_IN(p, start, end)
    p->new = (struct phys_translation){0};
    run("unmap", unmap_mixed, 256 + 512);
    HOST_CHECK(change.leaves == 256 + 511 + 511 && change.tables == 0, "%llu leaves",
               (unsigned long long)change.leaves);

    fresh();
    must(pt_map_range(&pt, VA, PADDR(PA), 4 * MIB, PT_4K, PT_WRITE));
    watch(VA, VA + 2 * MIB, PAGE_SIZE);
    FOREACH_PROBE_IN(p, VA, VA + 2 * MIB)
    p->new = (struct phys_translation){0};
    run("unmap of a whole table", unmap_table, 513);
    HOST_CHECK(change.leaves == 512 && change.tables == 1, "%llu tables", (unsigned long long)change.tables);
}

HOST_TEST(split_merge_and_remap_have_no_intermediate_state)
{
    static const u32 prots[] = {PT_WRITE, PT_EXEC | PT_USER | PT_GLOBAL, PT_WRITE | PT_UNCACHED,
                                PT_WRITE_COMBINE};
    for (u32 i = 0; i < ARRAY_SIZE(prots); i++) {
        fresh();
        must(pt_map(&pt, VA, PADDR(PA), PT_1G, prots[i]));
        watch(VA, VA + GIB, 333 * PAGE_SIZE);
        run("split of 1 GiB", split_1g, 513);
        run("split of 2 MiB", split_2m, 513);
        HOST_CHECK(phys_walk(pt.root.v, VA).size == PAGE_SIZE && phys_tables(pt.root.v) == 4,
                   "both were split");
        HOST_CHECK(merge_1g() == ERR_INVAL, "a table of unlike entries is no page");
        run("merge to 2 MiB", merge_2m, 1);
        HOST_CHECK(change.tables == 1 && change.leaves == 512 && !change.narrowed && change.stride == PT_4K,
                   "change");
        run("merge to 1 GiB", merge_1g, 1);
        HOST_CHECK(phys_walk(pt.root.v, VA).size == GIB && phys_tables(pt.root.v) == 2, "both were merged");
    }
    fresh();
    must(pt_map(&pt, VA, PADDR(PA), PT_2M, PT_WRITE));
    watch(VA, VA + 2 * MIB, PAGE_SIZE);
    FOREACH_PROBE_IN(p, VA, VA + 2 * MIB)
    p->new = page(PA + GIB + (p->va - VA), false);
    run("remap", remap_2m, 1);
}

HOST_TEST(only_one_page_in_pieces_is_merged)
{
    fresh();
    must(pt_map_range(&pt, VA, PADDR(PA), 2 * MIB, PT_4K, PT_WRITE));
    must(pt_unmap(&pt, VA + 5 * PAGE_SIZE, VA + 6 * PAGE_SIZE, NULL, &change));
    HOST_CHECK(merge_2m() == ERR_INVAL, "a hole");
    must(pt_map(&pt, VA + 5 * PAGE_SIZE, PADDR(PA), PT_4K, PT_WRITE));
    HOST_CHECK(merge_2m() == ERR_INVAL, "another frame");
    must(pt_unmap(&pt, VA + 5 * PAGE_SIZE, VA + 6 * PAGE_SIZE, NULL, &change));
    must(pt_map(&pt, VA + 5 * PAGE_SIZE, PADDR(PA + 5 * PAGE_SIZE), PT_4K, 0));
    HOST_CHECK(merge_2m() == ERR_INVAL, "other rights");
    must(pt_protect(&pt, VA, VA + 2 * MIB, PT_WRITE, NULL, &change));
    HOST_CHECK(merge_2m() == ERR_OK && pt_merge(&pt, VA, PT_2M, &change) == ERR_ABSENT, "equal at last");
    fresh();
    must(pt_map_range(&pt, VA, PADDR(PA + PAGE_SIZE), 2 * MIB, PT_4K, PT_WRITE));
    HOST_CHECK(merge_2m() == ERR_INVAL, "frames that do not begin at a 2 MiB boundary");
}
