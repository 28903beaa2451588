/* Page tables: leaves one by one. Finding the next, moving one, reading and clearing what the walker has set. */
#include "mm/pt_internal.h"

u64 *pt_next_leaf(const struct pt *pt, vaddr_t *va, vaddr_t end, u32 *level, u64 *value)
{
    while (*va < end) {
        u64 *entry = pt_find(pt, *va, 0, level, value);
        if (pte_is_leaf(*value, *level))
            return entry;
        vaddr_t last = *va | (pt_span(*level) - 1);
        if (last >= end - 1)
            break;
        *va = last + 1;
    }
    *va = end;
    return NULL;
}

err_t pt_prepare(struct pt *pt, vaddr_t va, enum pt_size size)
{
    struct pt_stash stash = PT_STASH_EMPTY;
    u32 leaf_level = pt_level_of(size), level;
    u64 found, value = PTE_COMING;
    u64 *entry = pt_find(pt, va, leaf_level, &level, &found);
    if (found & PTE_PRESENT)
        return ERR_EXIST;
    err_t e = pt_stash_fill(pt, &stash, level - leaf_level);
    if (e != ERR_OK)
        return e;
    for (u32 l = leaf_level; l < level; l++) {
        paddr_t table = pt_stash_take(&stash);
        atomic_store_relaxed(&pt_table_at(table)[pt_index(va, l)], value);
        value = pte_make_table(table, va);
    }
    /* The LOCKed exchange also orders: the new tables' contents before the entry that makes walkers find them;
     * pairs with: the hardware walker, whose loads depend on the entry; else: it could read a table not yet zeroed. */
    atomic_xchg(entry, value);
    if (level == PT_LEVEL_ROOT)
        pt_root_changed(pt, pt_index(va, PT_LEVEL_ROOT), value);
    return ERR_OK;
}

void pt_unprepare(struct pt *pt, vaddr_t start, vaddr_t end)
{
    u32 level;
    u64 e;
    for (vaddr_t va = start; va < end; va = (va | (pt_span(level) - 1)) + 1) {
        u64 *entry = pt_find(pt, va, 0, &level, &e);
        if (e == PTE_COMING)
            atomic_store_relaxed(entry, 0ull);
    }
}

u64 pt_leaf_take(u64 *entry, vaddr_t va, u32 level)
{
    /* By exchange: the walker may set A or D until the moment the entry is gone. */
    u64 old = atomic_xchg(entry, 0);
    pt_count_leaf(va, pte_page(old, level), PT_ONE_LESS);
    return old;
}

void pt_put(struct pt *pt, vaddr_t va, u32 level, u64 leaf)
{
    u32 found_level;
    u64 found;
    u64 *entry = pt_find(pt, va, level, &found_level, &found);
    ASSERT(found_level == level && found == PTE_COMING, "the place of a leaf that comes was kept");
    tlb_ghost_leaf_comes(pt, va, level, leaf);
    pt_count_leaf(va, pte_page(leaf, level), PT_ONE_MORE);
    atomic_store_relaxed(entry, leaf);
}

/* What pt_harvest says of a leaf. */
static u8 age_of(u64 e)
{
    return (u8)(PT_AGE_PRESENT | (e & PTE_ACCESSED ? PT_AGE_ACCESSED : 0) |
                (e & PTE_DIRTY ? PT_AGE_DIRTY : 0));
}

err_t pt_harvest(struct pt *pt, vaddr_t start, vaddr_t end, u8 *out, struct pt_change *change)
{
    vaddr_t last;
    pt_change_begin(change);
    err_t e = pt_check_range(start, end, &last);
    if (e != ERR_OK) {
        pt_change_end(change);
        return e;
    }
    for (u64 i = 0; i <= (last - start) >> PAGE_SHIFT; i++)
        out[i] = 0;

    u32 level;
    u64 leaf, *entry;
    vaddr_t va = start;
    while ((entry = pt_next_leaf(pt, &va, last, &level, &leaf))) {
        /* LOCKed, and the whole word at once: the walker sets these bits meanwhile, and one that it sets later is the next harvest's. */
        u64 old = atomic_fetch_and(entry, ~(PTE_ACCESSED | PTE_DIRTY));
        if (old & (PTE_ACCESSED | PTE_DIRTY))
            pt_change_note(change, old, level, true);
        vaddr_t leaf_last = MIN(va | (pt_span(level) - 1), last);
        for (; va <= leaf_last; va += PAGE_SIZE)
            out[(va - start) >> PAGE_SHIFT] = age_of(old);
    }
    pt_change_end(change);
    return ERR_OK;
}
