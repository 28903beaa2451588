/* Page tables: reading them, and taking a whole tree apart. */
#include "mm/pt_internal.h"

/* What the levels above a leaf leave of its rights: W and U only if all grant them, NX if any says so
 * (SDM volume 3A, section 4.6). Kept as the three bits of an entry. */
static u64 rights_through(u64 above, u64 e)
{
    u64 granted = above & e & (PTE_WRITE | PTE_USER);
    return granted | ((above | e) & PTE_NX);
}
#define RIGHTS_OF_ROOT (PTE_WRITE | PTE_USER)

static struct pt_entry describe(u64 e, u32 level, u64 above)
{
    u64 effective = (e & ~PTE_RIGHTS) | rights_through(above, e);
    return (struct pt_entry){.present = true,
                             .size = (enum pt_size)pt_shift(level),
                             .prot = pte_prot(effective, level),
                             .pa = pte_page(e, level),
                             .accessed = (e & PTE_ACCESSED) != 0,
                             .dirty = (e & PTE_DIRTY) != 0};
}

struct pt_entry pt_walk(const struct pt *pt, vaddr_t va)
{
    u64 above = RIGHTS_OF_ROOT;
    const u64 *table = pt_table_at(pt->root);

    if (!vaddr_is_canonical(va))
        return (struct pt_entry){.present = false, .size = PT_4K};
    for (u32 level = PT_LEVEL_ROOT;; level--) {
        u64 e = atomic_load_relaxed(&table[pt_index(va, level)]);
        if (pte_is_leaf(e, level))
            return describe(e, level, above);
        if (!pte_is_table(e, level))
            return (struct pt_entry){.present = false,
                                     .size = (enum pt_size)MIN(pt_shift(level), (u32)PT_1G)};
        above = rights_through(above, e);
        table = pt_table_at(pte_table(e));
    }
}

struct for_each {
    bool (*fn)(void *arg, vaddr_t va, const struct pt_entry *e);
    void *arg;
};

/* False when fn has had enough. */
static bool for_each_in(const struct for_each *f, const u64 *table, u32 level, u64 above, vaddr_t va,
                        vaddr_t last)
{
    for (;;) {
        vaddr_t entry_last = va | (pt_span(level) - 1);
        u64 e = atomic_load_relaxed(&table[pt_index(va, level)]);

        if (pte_is_leaf(e, level)) {
            struct pt_entry entry = describe(e, level, above);
            if (!f->fn(f->arg, ALIGN_DOWN(va, pt_span(level)), &entry))
                return false;
        } else if (pte_is_table(e, level)) {
            const u64 *below = pt_table_at(pte_table(e));
            if (!for_each_in(f, below, level - 1, rights_through(above, e), va, MIN(last, entry_last)))
                return false;
        }
        if (entry_last >= last)
            return true;
        va = entry_last + 1;
    }
}

void pt_for_each(const struct pt *pt, vaddr_t start, vaddr_t end,
                 bool (*fn)(void *arg, vaddr_t va, const struct pt_entry *e), void *arg)
{
    struct for_each f = {.fn = fn, .arg = arg};
    vaddr_t last;
    err_t e = pt_check_range(start, end, &last);
    ASSERT(e == ERR_OK, "a range is page aligned, not empty and within one half");
    for_each_in(&f, pt_table_at(pt->root), PT_LEVEL_ROOT, RIGHTS_OF_ROOT, start, last);
}

static void destroy_table(struct pt *pt, paddr_t page, u32 level, vaddr_t va)
{
    u64 *table = pt_table_at(page);
    for (u32 i = 0; i < PT_ENTRIES; i++, va += pt_span(level)) {
        u64 e = atomic_load_relaxed(&table[i]);
        if (pte_is_leaf(e, level))
            pt_count_leaf(va, pte_page(e, level), PT_ONE_LESS);
        else if (pte_is_table(e, level))
            destroy_table(pt, pte_table(e), level - 1, va);
    }
    pt_table_free(pt, page);
}

void pt_destroy_user(struct pt *pt)
{
    u64 *root = pt_table_at(pt->root);
    for (u32 i = 0; i < pt_index(USER_END, PT_LEVEL_ROOT); i++) {
        u64 e = atomic_xchg(&root[i], 0);
        if (pte_is_table(e, PT_LEVEL_ROOT))
            destroy_table(pt, pte_table(e), PT_LEVEL_ROOT - 1, i * pt_span(PT_LEVEL_ROOT));
    }
}
