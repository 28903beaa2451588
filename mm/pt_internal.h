/* What the pt_*.c files share: access to tables, the stash of new table pages, and the count of leaves per frame. */
#pragma once

#include "lib/assert.h"
#include "lib/atomic.h"
#include "mm/frame.h"
#include "mm/layout.h"
#include "mm/pt.h"
#include "mm/pte.h"
#include "mm/tlb_ghost.h"

static inline u64 *pt_table_at(paddr_t table)
{
    return phys_to_virt(table);
}

/* The entry that decides about va: a leaf, a not-present one, or the one at level `lowest`. Its level and value
 * come out. */
u64 *pt_find(const struct pt *pt, vaddr_t va, u32 lowest, u32 *level, u64 *value);

/* ERR_RANGE unless [start, end) is as mm/pt.h wants it. On success *last is the address of its last byte: unlike
 * the end, it does not wrap at the top of the kernel half. */
err_t pt_check_range(vaddr_t start, vaddr_t end, vaddr_t *last) MUST_CHECK;

/* New table pages, found before anything is changed so that the change itself cannot fail. Linked through their
 * first word, which is 0 again when they are taken. */
struct pt_stash {
    paddr_t head; /* PADDR_NONE: empty */
};
#define PT_STASH_EMPTY                                                                                       \
    {                                                                                                        \
        .head = PADDR_NONE                                                                                   \
    }
err_t pt_stash_fill(struct pt *pt, struct pt_stash *stash, u64 tables) MUST_CHECK; /* all or nothing */
paddr_t pt_stash_take(struct pt_stash *stash);                                     /* never empty: asserted */

/* Tells the pool, if it wants to know. */
static inline void pt_root_changed(const struct pt *pt, u32 index, u64 value)
{
    if (pt->pool->root_changed)
        pt->pool->root_changed(pt->pool, index, value);
}

/* To the pool, for a page that nobody can have walked. */
void pt_table_free(struct pt *pt, paddr_t table);

/* Splits what straddles the ends of [start, last], so that the range is made of whole leaves. ERR_NOMEM: nothing
 * was done. */
err_t pt_split_edges(struct pt *pt, vaddr_t start, vaddr_t last) MUST_CHECK;

/* The first present leaf at or above *va and below end, with its level and value; *va becomes its address (at least what it was).
 * NULL: none, and *va becomes end. Work: the entries passed over, each of the largest size that is empty. */
u64 *pt_next_leaf(const struct pt *pt, vaddr_t *va, vaddr_t end, u32 *level, u64 *value);

/* Keeps the place of a leaf of that size at va, with the tables that it needs, so that pt_put cannot fail: its entry is not
 * present, and its table not empty. ERR_NOMEM, nothing done; ERR_EXIST: a leaf, or for a large leaf a table, is in its place.
 * pt_unprepare gives up all places in the range; the tables stay for pt_unmap. */
err_t pt_prepare(struct pt *pt, vaddr_t va, enum pt_size size) MUST_CHECK;
void pt_unprepare(struct pt *pt, vaddr_t start, vaddr_t end);
/* Takes a leaf out of its entry, and puts it into the place that was kept for one of the same level: rights, A and D and ownership go
 * along. pt_leaf_take is given what pt_next_leaf found. */
u64 pt_leaf_take(u64 *entry, vaddr_t va, u32 level);
void pt_put(struct pt *pt, vaddr_t va, u32 level, u64 leaf);

/* The shortest of its kind: takes one leaf of 4 KiB away, *old_pte is what it was; the caller counts it off in its frame's
 * `mappings`. False, and nothing done: there is none. va is page aligned and canonical. */
static ALWAYS_INLINE bool pt_discard_page(struct pt *pt, vaddr_t va, u64 *old_pte)
{
    u64 *table = pt_table_at(pt->root);
#pragma GCC unroll 3
    for (u32 level = PT_LEVEL_ROOT; level; level--) {
        u64 e = atomic_load_relaxed(&table[pt_index(va, level)]);
        if (unlikely((e & (PTE_PRESENT | PTE_LARGE)) != PTE_PRESENT))
            return false;
        table = pt_table_at(pte_table(e));
    }
    u64 *entry = &table[pt_index(va, 0)];
    if (unlikely(!(atomic_load_relaxed(entry) & PTE_PRESENT)))
        return false;
    *old_pte = atomic_xchg(entry, 0);
    tlb_ghost_leaf_gone(pt, va, 0, *old_pte);
    return true;
}

/* The host tests of page tables may do without the frame allocator; then there is nothing to count. */
#ifdef VOLLEY_HOST
extern __typeof__(frame_of) frame_of __attribute__((weak));
extern __typeof__(frame_split) frame_split __attribute__((weak));
extern __typeof__(frame_join) frame_join __attribute__((weak));
#define PT_HAS_FRAMES (frame_of != NULL)
#else
#define PT_HAS_FRAMES true
#endif

/* One leaf at va more (by = 1) or less (by = ~0u) points at pa. MMIO has no descriptor. */
static inline void pt_count_leaf(vaddr_t va, paddr_t pa, u32 by)
{
    if (!PT_HAS_FRAMES || va - DIRECT_MAP_BASE < DIRECT_MAP_SIZE)
        return;
    struct frame *f = frame_of(pa);
    if (f)
        atomic_fetch_add(&f->mappings, by);
}
#define PT_ONE_MORE 1u
#define PT_ONE_LESS (~0u)

static inline void pt_change_begin(struct pt_change *c)
{
    *c = (struct pt_change){.stride = PT_1G};
}

static inline void pt_change_note(struct pt_change *c, u64 old, u32 level, bool narrowed)
{
    c->leaves++;
    c->narrowed |= narrowed;
    c->global |= (old & PTE_GLOBAL) != 0;
    c->stride = MIN(c->stride, (enum pt_size)pt_shift(level));
}

static inline void pt_change_end(struct pt_change *c)
{
    if (!c->leaves)
        c->stride = PT_4K;
}
