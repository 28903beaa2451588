/* Page tables: one large page into 512 smaller ones, and back. Both are one visible write, and mean the same to every
 * address before and after it. */
#include "lib/features.h"
#include "mm/pt_internal.h"

/* A 2 MiB block of frames that a leaf owns becomes 512 single frames when its page does, and the reverse. */
static void split_owned_block(u64 leaf, u32 level)
{
    if ((leaf & PTE_OWNED) && level == 1 && PT_HAS_FRAMES && frame_of(pte_page(leaf, level)))
        frame_split(pte_page(leaf, level));
}

static void split_leaf(u64 *entry, u32 level, vaddr_t va, struct pt_stash *stash)
{
    paddr_t page = pt_stash_take(stash);
    u64 *table = pt_table_at(page);
    u64 old = atomic_load_relaxed(entry), first;

    va = ALIGN_DOWN(va, pt_span(level));
    split_owned_block(old, level);
    for (u32 i = 1; i < PT_ENTRIES; i++) /* the first one points where the large leaf did, and is counted */
        pt_count_leaf(va + i * pt_span(level - 1), paddr_add(pte_page(old, level), i * pt_span(level - 1)),
                      PT_ONE_MORE);
    /* A compare-and-exchange, because A or D may be set after we have copied them: a plain exchange would lose
     * them. Each is set once, so at most two rounds fail. */
    do {
        first = pte_at_level(old, level, level - 1);
        for (u32 i = 0; i < PT_ENTRIES; i++)
            atomic_store_relaxed(&table[i], first + i * pt_span(level - 1));
    } while (!atomic_cmpxchg(entry, &old, pte_make_table(page, va)));
}

err_t pt_split(struct pt *pt, vaddr_t va, enum pt_size from, struct pt_change *out)
{
    struct pt_stash stash = PT_STASH_EMPTY;
    u32 wanted = pt_level_of(from), level;
    u64 e;

    pt_change_begin(out);
    pt_change_end(out);
    if (from == PT_4K)
        return ERR_INVAL;
    if (!vaddr_is_canonical(va))
        return ERR_RANGE;
    u64 *entry = pt_find(pt, va, wanted, &level, &e);
    if (level != wanted || !pte_is_leaf(e, level))
        return ERR_ABSENT;
    err_t err = pt_stash_fill(pt, &stash, 1);
    if (err != ERR_OK)
        return err;
    split_leaf(entry, level, va, &stash);
    pt_change_begin(out);
    pt_change_note(out, e, level, false);
    return ERR_OK;
}

/* How many splits it takes until a page begins at va; the level of the leaf that holds va comes out. */
static u32 splits_to_begin_at(const struct pt *pt, vaddr_t va, u32 *level)
{
    u32 n = 0;
    u64 e;
    pt_find(pt, va, 0, level, &e);
    if (pte_is_leaf(e, *level))
        for (u32 l = *level; l && !IS_ALIGNED(va, pt_span(l)); l--)
            n++;
    return n;
}

static void split_until_begin_at(struct pt *pt, vaddr_t va, u32 splits, struct pt_stash *stash)
{
    for (; splits; splits--) {
        u32 level;
        u64 e;
        u64 *entry = pt_find(pt, va, 0, &level, &e);
        split_leaf(entry, level, va, stash);
    }
}

err_t pt_split_edges(struct pt *pt, vaddr_t start, vaddr_t last)
{
    struct pt_stash stash = PT_STASH_EMPTY;
    vaddr_t end = last + 1;
    u32 start_level, end_level, at_end = 0;
    u32 at_start = splits_to_begin_at(pt, start, &start_level);

    /* Where a half ends, no page can go on. */
    if (end != 0 && end != USER_END) {
        at_end = splits_to_begin_at(pt, end, &end_level);
        /* Pages that hold both ends, and that the start has split already, are not split twice. */
        for (u32 l = end_level, n = at_end; n; l--, n--)
            if (l <= start_level && start >> pt_shift(l) == end >> pt_shift(l) &&
                !IS_ALIGNED(start, pt_span(l)))
                at_end--;
    }
    if (likely(!at_start && !at_end))
        return ERR_OK;
    err_t e = pt_stash_fill(pt, &stash, at_start + at_end);
    if (e != ERR_OK)
        return e;
    split_until_begin_at(pt, start, at_start, &stash);
    split_until_begin_at(pt, end, at_end, &stash);
    ASSERT(paddr_is_none(stash.head), "as many pages were split as counted");
    return ERR_OK;
}

/* Whether the table's 512 leaves are one page in pieces; then *leaf is that page's entry. */
static bool is_one_page(const u64 *table, u32 level, u64 *leaf)
{
    u64 first = atomic_load_relaxed(&table[0]);
    if (!pte_is_leaf(first, level) || !IS_ALIGNED(pte_page(first, level).v, pt_span(level + 1)))
        return false;
    first &= ~(PTE_ACCESSED | PTE_DIRTY);
    for (u32 i = 1; i < PT_ENTRIES; i++) {
        u64 e = atomic_load_relaxed(&table[i]) & ~(PTE_ACCESSED | PTE_DIRTY);
        if (e != first + i * pt_span(level))
            return false;
    }
    *leaf = pte_at_level(first, level, level + 1) | PTE_ACCESSED;
    if (first & PTE_WRITE)
        *leaf |= PTE_DIRTY;
    return true;
}

/* What is owned can become one page only if it can become one block of frames. */
static bool join_owned_block(u64 leaf, u32 level)
{
    if (!(leaf & PTE_OWNED))
        return true;
    if (level != 1 || (leaf & PTE_SHARED))
        return false;
    if (!PT_HAS_FRAMES || !frame_of(pte_page(leaf, level)))
        return true;
    return frame_join(pte_page(leaf, level));
}

err_t pt_merge(struct pt *pt, vaddr_t va, enum pt_size to, struct pt_change *out)
{
    u32 wanted = pt_level_of(to), level;
    u64 e, leaf;

    pt_change_begin(out);
    pt_change_end(out);
    if (to == PT_4K)
        return ERR_INVAL;
    if (to == PT_1G && !features.page_1g)
        return ERR_UNSUPPORTED;
    if (!vaddr_is_canonical(va))
        return ERR_RANGE;
    u64 *entry = pt_find(pt, va, wanted, &level, &e);
    if (level != wanted || !pte_is_table(e, level))
        return ERR_ABSENT;
    const u64 *table = pt_table_at(pte_table(e));
    if (!is_one_page(table, level - 1, &leaf) || !join_owned_block(leaf, level))
        return ERR_INVAL;

    u64 old = atomic_xchg(entry, leaf);
    va = ALIGN_DOWN(va, pt_span(level));
    for (u32 i = 1; i < PT_ENTRIES; i++)
        pt_count_leaf(va + i * pt_span(level - 1), paddr_add(pte_page(leaf, level), i * pt_span(level - 1)),
                      PT_ONE_LESS);
    tlb_ghost_table_gone(pt, va, pte_table(old));
    pt->pool->retire(pt->pool, pte_table(old));
    *out = (struct pt_change){.leaves = PT_ENTRIES,
                              .tables = 1,
                              .global = (leaf & PTE_GLOBAL) != 0,
                              .stride = (enum pt_size)pt_shift(level - 1)};
    return ERR_OK;
}
