/* Page tables: finding entries, checking ranges, and table pages on their way into and out of a tree. */
#include "mm/pt_internal.h"

/* One level of the walk: true if the entry decides, else *table is the next. Inlined with a constant level, this is six
 * instructions; a loop over levels takes three times as many, and every change of a page begins here. */
static ALWAYS_INLINE bool step(u64 **table, vaddr_t va, u32 level, u32 lowest, u64 **entry, u64 *e)
{
    *entry = &(*table)[pt_index(va, level)];
    *e = atomic_load_relaxed(*entry);
    if (level == lowest || unlikely(!pte_is_table(*e, level)))
        return true;
    *table = pt_table_at(pte_table(*e));
    return false;
}

u64 *pt_find(const struct pt *pt, vaddr_t va, u32 lowest, u32 *level, u64 *value)
{
    u64 *table = pt_table_at(pt->root), *entry;
    u32 l = PT_LEVEL_ROOT;
    _Static_assert(PT_LEVEL_ROOT == 3, "a step for each level");
    if (step(&table, va, 3, lowest, &entry, value) || (l--, step(&table, va, 2, lowest, &entry, value)) ||
        (l--, step(&table, va, 1, lowest, &entry, value)) || (l--, step(&table, va, 0, 0, &entry, value)))
        *level = l;
    return entry;
}

err_t pt_check_range(vaddr_t start, vaddr_t end, vaddr_t *last)
{
    *last = end - 1;
    if (!IS_ALIGNED(start, PAGE_SIZE) || !IS_ALIGNED(end, PAGE_SIZE) || start > *last)
        return ERR_RANGE;
    bool user = *last < USER_END;
    bool kernel = start >= KERNEL_HALF;
    return user || kernel ? ERR_OK : ERR_RANGE;
}

void pt_table_free(struct pt *pt, paddr_t table)
{
    if (pt->pool->free)
        pt->pool->free(pt->pool, table);
    else
        pt->pool->retire(pt->pool, table);
}

err_t pt_stash_fill(struct pt *pt, struct pt_stash *stash, u64 tables)
{
    for (; tables; tables--) {
        paddr_t page;
        err_t e = pt->pool->alloc(pt->pool, &page);
        if (e != ERR_OK) {
            while (!paddr_is_none(stash->head))
                pt_table_free(pt, pt_stash_take(stash));
            return e;
        }
        /* +1, so that the end of the list is the 0 which the page holds anyway. */
        atomic_store_relaxed(pt_table_at(page), stash->head.v + 1);
        stash->head = page;
    }
    return ERR_OK;
}

paddr_t pt_stash_take(struct pt_stash *stash)
{
    ASSERT(!paddr_is_none(stash->head), "a change needs no more tables than were counted before it began");
    paddr_t page = stash->head;
    u64 *first = pt_table_at(page);
    stash->head = PADDR(atomic_load_relaxed(first) - 1);
    atomic_store_relaxed(first, 0);
    return page;
}
