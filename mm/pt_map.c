/* Page tables: not present to present. A first pass looks for conflicts and counts the tables that are missing, a
 * second one links each page with one visible write, and cannot fail. */
#include "lib/features.h"
#include "mm/pt_internal.h"

/* Tables that a mapping will need. Pages come in ascending order, so per level the last table counted is enough to
 * know whether a page falls into one that was counted already. */
struct plan {
    u64 tables;
    u64 counted[PT_LEVELS]; /* va >> shift of the level above, plus 1; 0: none yet */
};

static err_t plan_page(const struct pt *pt, vaddr_t va, u32 leaf_level, struct plan *plan)
{
    u32 level;
    u64 found;
    pt_find(pt, va, leaf_level, &level, &found);
    if (found & PTE_PRESENT)
        return ERR_EXIST;
    for (u32 l = leaf_level; l < level; l++) {
        u64 table = (va >> pt_shift(l + 1)) + 1;
        if (plan->counted[l] != table) {
            plan->counted[l] = table;
            plan->tables++;
        }
    }
    return ERR_OK;
}

static void link_page(struct pt *pt, vaddr_t va, paddr_t pa, u32 leaf_level, u32 prot, struct pt_stash *stash)
{
    u32 level;
    u64 found;
    u64 *entry = pt_find(pt, va, leaf_level, &level, &found);
    u64 value = pte_make_leaf(pa, leaf_level, prot);

    /* The missing tables from below, each with its one entry, before anything points at them. */
    for (u32 l = leaf_level; l < level; l++) {
        paddr_t table = pt_stash_take(stash);
        atomic_store_relaxed(&pt_table_at(table)[pt_index(va, l)], value);
        value = pte_make_table(table, va);
    }
    tlb_ghost_leaf_comes(pt, va, leaf_level, pte_make_leaf(pa, leaf_level, prot));
    pt_count_leaf(va, pa, PT_ONE_MORE);
    /* The LOCKed exchange also orders: the new tables' contents before the entry that makes walkers find them;
     * pairs with: the hardware walker, whose loads depend on the entry; else: it could read a table not yet zeroed. */
    found = atomic_xchg(entry, value);
    ASSERT(!(found & PTE_PRESENT), "tables change only under their lock");
    if (unlikely(level == PT_LEVEL_ROOT))
        pt_root_changed(pt, pt_index(va, PT_LEVEL_ROOT), value);
}

/* The largest page that fits at va and pa, no larger than max, within left bytes. */
static u32 level_that_fits(vaddr_t va, paddr_t pa, u64 left, u32 max)
{
    u32 level = max;
    while (level && (!IS_ALIGNED(va | pa.v, pt_span(level)) || left < pt_span(level)))
        level--;
    return level;
}

static err_t check_request(vaddr_t va, paddr_t pa, u64 bytes, u32 prot)
{
    vaddr_t last;
    if (va + bytes < va && va + bytes != 0)
        return ERR_RANGE;
    err_t e = pt_check_range(va, va + bytes, &last);
    if (e != ERR_OK)
        return e;
    u64 end = pa.v + bytes;
    if (!IS_ALIGNED(pa.v, PAGE_SIZE) || end < pa.v || end > PTE_ADDRESS + PAGE_SIZE)
        return ERR_INVAL;
    return (prot & PT_UNCACHED) && (prot & PT_WRITE_COMBINE) ? ERR_INVAL : ERR_OK;
}

static err_t map(struct pt *pt, vaddr_t va, paddr_t pa, u64 bytes, u32 max_level, u32 prot)
{
    struct plan plan = {0};
    struct pt_stash stash = PT_STASH_EMPTY;
    u64 step;

    for (u64 done = 0; done < bytes; done += step) {
        u32 level = level_that_fits(va + done, paddr_add(pa, done), bytes - done, max_level);
        err_t e = plan_page(pt, va + done, level, &plan);
        if (e != ERR_OK)
            return e;
        step = pt_span(level);
    }
    err_t e = pt_stash_fill(pt, &stash, plan.tables);
    if (e != ERR_OK)
        return e;
    for (u64 done = 0; done < bytes; done += step) {
        u32 level = level_that_fits(va + done, paddr_add(pa, done), bytes - done, max_level);
        link_page(pt, va + done, paddr_add(pa, done), level, prot, &stash);
        step = pt_span(level);
    }
    ASSERT(paddr_is_none(stash.head), "as many tables were linked as counted");
    return ERR_OK;
}

err_t pt_map(struct pt *pt, vaddr_t va, paddr_t pa, enum pt_size size, u32 prot)
{
    u32 level = pt_level_of(size);
    if (!IS_ALIGNED(va, pt_span(level)))
        return ERR_RANGE;
    if (!IS_ALIGNED(pa.v, pt_span(level)) || (size == PT_1G && (prot & PT_OWNED)))
        return ERR_INVAL;
    if (size == PT_1G && !features.page_1g)
        return ERR_UNSUPPORTED;
    err_t e = check_request(va, pa, pt_span(level), prot);
    return e != ERR_OK ? e : map(pt, va, pa, pt_span(level), level, prot);
}

err_t pt_map_range(struct pt *pt, vaddr_t va, paddr_t pa, u64 bytes, enum pt_size max_size, u32 prot)
{
    err_t e = check_request(va, pa, bytes, prot);
    if (e != ERR_OK)
        return e;
    /* Frame blocks end at 2 MiB, so an owned page does, too. */
    if (max_size == PT_1G && (!features.page_1g || (prot & PT_OWNED)))
        max_size = PT_2M;
    return map(pt, va, pa, bytes, pt_level_of(max_size), prot);
}
