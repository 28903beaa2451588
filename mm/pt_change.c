/* Page tables: taking away and altering what is there. Descends by at most four levels; work is bounded by the
 * entries that the range touches, plus one scan of each table in which something was cleared. */
#include "mm/pt_internal.h"

struct walk {
    struct pt *pt;
    struct pt_visitor *visitor;
    struct pt_change *out;
    u64 rights;       /* protect: the new PTE_RIGHTS bits */
    bool keep_tables; /* discard */
};

static void visit(struct walk *w, vaddr_t va, u32 level, u64 old, bool narrowed)
{
    pt_change_note(w->out, old, level, narrowed);
    if (w->visitor)
        w->visitor->leaf(w->visitor, va, (enum pt_size)pt_shift(level), old);
}

/* The table of 4 KiB leaves that maps all of [va, last]; NULL if there is none, or the range reaches into others. */
static u64 *only_table(const struct pt *pt, vaddr_t va, vaddr_t last)
{
    u32 level;
    u64 e;
    if ((va ^ last) >> PT_2M)
        return NULL;
    pt_find(pt, va, 1, &level, &e);
    return pte_is_table(e, level) ? pt_table_at(pte_table(e)) : NULL;
}

/* Present, or kept for a leaf on its way. */
static bool is_taken(const u64 *table, u32 i)
{
    return atomic_load_relaxed(&table[i]) != 0;
}

/* Does anything remain in the table when entries first .. last are gone? Mappings come in runs, so the range's neighbours are
 * looked at first, then the table's ends, where a run from the next table would reach in; all of it only then. */
static bool is_used_beside(const u64 *table, u32 first, u32 last)
{
    if (first && (is_taken(table, first - 1) || is_taken(table, 0)))
        return true;
    if (last < PT_ENTRIES - 1 && (is_taken(table, last + 1) || is_taken(table, PT_ENTRIES - 1)))
        return true;
    for (u32 i = 0; i < PT_ENTRIES; i++)
        if ((i < first || i > last) && is_taken(table, i))
            return true;
    return false;
}

static bool is_empty(const u64 *table)
{
    for (u32 i = 0; i < PT_ENTRIES; i++)
        if (is_taken(table, i))
            return false;
    return true;
}

static void unmap_leaf(struct walk *w, u64 *entry, vaddr_t va, u32 level)
{
    /* By exchange: the walker may set A or D until the moment the entry is gone. */
    u64 old = atomic_xchg(entry, 0);
    tlb_ghost_leaf_gone(w->pt, va, level, old);
    pt_count_leaf(va, pte_page(old, level), PT_ONE_LESS);
    visit(w, va, level, old, true);
}

/* Clears the part of [va, last] that `table` maps. True if the table is empty then, and may go: also one that a discard had
 * emptied before. */
static bool unmap_in(struct walk *w, u64 *table, u32 level, vaddr_t va, vaddr_t last)
{
    for (;;) {
        vaddr_t entry_last = va | (pt_span(level) - 1);
        u64 *entry = &table[pt_index(va, level)];
        u64 e = atomic_load_relaxed(entry);

        if (pte_is_leaf(e, level)) {
            unmap_leaf(w, entry, va, level);
        } else if (pte_is_table(e, level)) {
            bool shared = level == PT_LEVEL_ROOT && va >= KERNEL_HALF;
            bool empty = unmap_in(w, pt_table_at(pte_table(e)), level - 1, va, MIN(last, entry_last));
            if (empty && !shared) {
                u64 old = atomic_xchg(entry, 0);
                if (level == PT_LEVEL_ROOT)
                    pt_root_changed(w->pt, pt_index(va, level), 0);
                tlb_ghost_table_gone(w->pt, va, pte_table(old));
                w->pt->pool->retire(w->pt->pool, pte_table(old));
                w->out->tables++;
            }
        }
        if (entry_last >= last)
            return !w->keep_tables && level != PT_LEVEL_ROOT && is_empty(table);
        va = entry_last + 1;
    }
}

static err_t take_away(struct walk *w, vaddr_t start, vaddr_t end)
{
    struct pt *pt = w->pt;
    vaddr_t last;

    pt_change_begin(w->out);
    err_t e = pt_check_range(start, end, &last);
    u64 *table = e == ERR_OK ? only_table(pt, start, last) : NULL;
    if (table && (w->keep_tables || is_used_beside(table, pt_index(start, 0), pt_index(last, 0)))) {
        for (vaddr_t va = start; va <= last; va += PAGE_SIZE)
            if (atomic_load_relaxed(&table[pt_index(va, 0)]) & PTE_PRESENT)
                unmap_leaf(w, &table[pt_index(va, 0)], va, 0);
    } else {
        if (e == ERR_OK)
            e = pt_split_edges(pt, start, last);
        if (e == ERR_OK)
            unmap_in(w, pt_table_at(pt->root), PT_LEVEL_ROOT, start, last);
    }
    pt_change_end(w->out);
    return e;
}

err_t pt_unmap(struct pt *pt, vaddr_t start, vaddr_t end, struct pt_visitor *v, struct pt_change *out)
{
    return take_away(&(struct walk){.pt = pt, .visitor = v, .out = out}, start, end);
}

err_t pt_discard(struct pt *pt, vaddr_t start, vaddr_t end, struct pt_visitor *v, struct pt_change *out)
{
    return take_away(&(struct walk){.pt = pt, .visitor = v, .out = out, .keep_tables = true}, start, end);
}

static bool takes_away(u64 old, u64 new)
{
    u64 lost = old & ~new &(PTE_WRITE | PTE_USER);
    u64 nx_added = new & ~old &PTE_NX;
    return lost || nx_added;
}

static void protect_leaf(struct walk *w, u64 *entry, vaddr_t va, u32 level, u64 old)
{
    u64 new;
    /* The walker only ever sets A and D here, each once: at most two rounds fail. */
    do {
        new = (old & ~PTE_RIGHTS) | w->rights;
        if (old & PTE_SHARED)
            new &= ~PTE_WRITE;
        if (new == old)
            return;
    } while (!atomic_cmpxchg(entry, &old, new));
    visit(w, va, level, old, takes_away(old, new));
}

static void protect_in(struct walk *w, u64 *table, u32 level, vaddr_t va, vaddr_t last)
{
    for (;;) {
        vaddr_t entry_last = va | (pt_span(level) - 1);
        u64 *entry = &table[pt_index(va, level)];
        u64 e = atomic_load_relaxed(entry);

        if (pte_is_leaf(e, level))
            protect_leaf(w, entry, va, level, e);
        else if (pte_is_table(e, level))
            protect_in(w, pt_table_at(pte_table(e)), level - 1, va, MIN(last, entry_last));
        if (entry_last >= last)
            return;
        va = entry_last + 1;
    }
}

err_t pt_protect(struct pt *pt, vaddr_t start, vaddr_t end, u32 prot, struct pt_visitor *v,
                 struct pt_change *out)
{
    struct walk w = {.pt = pt, .visitor = v, .out = out, .rights = pte_rights(prot)};
    vaddr_t last;

    pt_change_begin(out);
    err_t e = pt_check_range(start, end, &last);
    u64 *table = e == ERR_OK ? only_table(pt, start, last) : NULL;
    if (table) {
        protect_in(&w, table, 0, start, last);
    } else {
        if (e == ERR_OK)
            e = pt_split_edges(pt, start, last);
        if (e == ERR_OK)
            protect_in(&w, pt_table_at(pt->root), PT_LEVEL_ROOT, start, last);
    }
    pt_change_end(out);
    return e;
}

err_t pt_remap(struct pt *pt, vaddr_t va, paddr_t pa, enum pt_size size, u32 prot, u64 *old_pte)
{
    u32 wanted = pt_level_of(size), level;
    u64 e;

    if (!vaddr_is_canonical(va) || !IS_ALIGNED(va, pt_span(wanted)))
        return ERR_RANGE;
    if (!IS_ALIGNED(pa.v, pt_span(wanted)) || (pa.v & ~PTE_ADDRESS) || (size == PT_1G && (prot & PT_OWNED)) ||
        ((prot & PT_UNCACHED) && (prot & PT_WRITE_COMBINE)))
        return ERR_INVAL;
    u64 *entry = pt_find(pt, va, wanted, &level, &e);
    if (level != wanted || !pte_is_leaf(e, level))
        return ERR_ABSENT;

    pt_count_leaf(va, pa, PT_ONE_MORE);
    *old_pte = atomic_xchg(entry, pte_make_leaf(pa, level, prot));
    tlb_ghost_leaf_gone(pt, va, level, *old_pte);
    pt_count_leaf(va, pte_page(*old_pte, level), PT_ONE_LESS);
    return ERR_OK;
}

err_t pt_clear_bits(struct pt *pt, vaddr_t va, u64 bits, bool *was_set)
{
    u32 level;
    u64 e;

    if (!bits || (bits & ~(PT_ACCESSED | PT_DIRTY)))
        return ERR_INVAL;
    if (!vaddr_is_canonical(va))
        return ERR_RANGE;
    u64 *entry = pt_find(pt, va, 0, &level, &e);
    if (!pte_is_leaf(e, level))
        return ERR_ABSENT;
    *was_set = (atomic_fetch_and(entry, ~bits) & bits) != 0;
    return ERR_OK;
}
