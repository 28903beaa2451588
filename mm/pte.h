/* Page-table entries as the hardware reads them, for 4-level paging (SDM volume 3A, section 4.5, tables 4-14 to
 * 4-20).
 *
 * Levels are counted from below: 0 is a page table (4 KiB leaves), 1 a page directory (2 MiB), 2 a
 * page-directory-pointer table (1 GiB), 3 the PML4, which has no leaves. Pure arithmetic: nothing here touches
 * memory. */
#pragma once

#include "lib/types.h"
#include "mm/layout.h"
#include "mm/pt.h"

#define PTE_PRESENT   (1ull << 0)
#define PTE_WRITE     (1ull << 1)
#define PTE_USER      (1ull << 2)
#define PTE_PWT       (1ull << 3)
#define PTE_PCD       (1ull << 4)
#define PTE_ACCESSED  (1ull << 5)
#define PTE_DIRTY     (1ull << 6)
#define PTE_LARGE     (1ull << 7) /* levels 1 and 2: a leaf */
#define PTE_PAT_4K    (1ull << 7) /* level 0: the same bit is the PAT bit */
#define PTE_GLOBAL    (1ull << 8)
#define PTE_OWNED     (1ull << 9)  /* ignored by hardware: PT_OWNED */
#define PTE_SHARED    (1ull << 10) /* ignored by hardware: PT_SHARED */
#define PTE_COMING    (1ull << 11) /* alone: not present, but kept for a leaf on its way (pt_prepare) */
#define PTE_PAT_LARGE (1ull << 12) /* levels 1 and 2: the PAT bit, below the address */
#define PTE_NX        (1ull << 63)
#define PTE_ADDRESS   0x000ffffffffff000ull

#define PTE_RIGHTS    (PTE_WRITE | PTE_USER | PTE_NX)

#define PT_ENTRIES    512u
#define PT_LEVELS     4u
#define PT_LEVEL_ROOT 3u

static inline u32 pt_level_of(enum pt_size size)
{
    return ((u32)size - PAGE_SHIFT) / 9;
}
static inline u32 pt_shift(u32 level)
{
    return PAGE_SHIFT + 9 * level;
}
static inline u64 pt_span(u32 level)
{
    return 1ull << pt_shift(level);
} /* bytes that one entry of this level maps */
static inline u32 pt_index(vaddr_t va, u32 level)
{
    return va >> pt_shift(level) & (PT_ENTRIES - 1);
}

static inline bool pte_is_leaf(u64 e, u32 level)
{
    return (e & PTE_PRESENT) && (level == 0 || (level < PT_LEVEL_ROOT && (e & PTE_LARGE)));
}
static inline bool pte_is_table(u64 e, u32 level)
{
    return (e & PTE_PRESENT) && !pte_is_leaf(e, level);
}
static inline paddr_t pte_table(u64 e)
{
    return PADDR(e & PTE_ADDRESS);
}
static inline paddr_t pte_page(u64 e, u32 level)
{
    return PADDR(e & PTE_ADDRESS & ~(pt_span(level) - 1));
}

/* What points at a table lets everything through: the leaf alone decides. Only user tables carry the user bit, so
 * that a user leaf in the kernel half would still be unreachable from ring 3. */
static inline u64 pte_make_table(paddr_t table, vaddr_t va)
{
    return table.v | PTE_PRESENT | PTE_WRITE | (va < USER_END ? PTE_USER : 0);
}

static inline u64 pte_rights(u32 prot)
{
    return (prot & PT_WRITE ? PTE_WRITE : 0) | (prot & PT_USER ? PTE_USER : 0) |
           (prot & PT_EXEC ? 0 : PTE_NX);
}

static inline u64 pte_pat_bit(u32 level)
{
    return level ? PTE_PAT_LARGE : PTE_PAT_4K;
}

/* A and D are clear: the walker sets them at the first use. */
static inline u64 pte_make_leaf(paddr_t pa, u32 level, u32 prot)
{
    return pa.v | PTE_PRESENT | pte_rights(prot) | (level ? PTE_LARGE : 0) |
           (prot & PT_GLOBAL ? PTE_GLOBAL : 0) | (prot & PT_UNCACHED ? PTE_PCD | PTE_PWT : 0) |
           (prot & PT_WRITE_COMBINE ? pte_pat_bit(level) : 0) | (prot & PT_OWNED ? PTE_OWNED : 0) |
           (prot & PT_SHARED ? PTE_SHARED : 0);
}

static inline u32 pte_prot(u64 e, u32 level)
{
    return (e & PTE_WRITE ? PT_WRITE : 0) | (e & PTE_USER ? PT_USER : 0) | (e & PTE_NX ? 0 : PT_EXEC) |
           (e & PTE_GLOBAL ? PT_GLOBAL : 0) | (e & PTE_PCD ? PT_UNCACHED : 0) |
           (e & pte_pat_bit(level) ? PT_WRITE_COMBINE : 0) | (e & PTE_OWNED ? PT_OWNED : 0) |
           (e & PTE_SHARED ? PT_SHARED : 0);
}

/* The same leaf, one level down or up: same address and attributes, with the PAT bit and the large-page bit where
 * the other level has them. Going up, the caller has checked the alignment of the address. */
static inline u64 pte_at_level(u64 e, u32 from, u32 to)
{
    bool pat = e & pte_pat_bit(from);
    u64 flags = e & ~(PTE_ADDRESS | PTE_LARGE) & ~pte_pat_bit(from);
    return pte_page(e, from).v | flags | (to ? PTE_LARGE : 0) | (pat ? pte_pat_bit(to) : 0);
}
