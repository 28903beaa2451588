/* Debug kernels: what the tables once said, by frame and by page, each with the generation by which every CPU must have forgotten it. The other half
 * of what a CPU may have cached is in mm/tlb_record.h: up to which generation its entries, and what its walker keeps, are clean.
 *
 * Steps on the writes of entries themselves (mm/pt_*.c), not on what an operation says of them; looks when a frame or a table page is freed, by
 * whomever, and when a page becomes present. A CPU that has the space loaded, has not executed a flush that covers the generation, and has
 * not said that it is in the handler either (of a leaf; of a table that is not enough), may still use the old one: a panic that names all of
 * it. So a generation that is not raised, a level that is too low, a frame freed past its ticket are found without timing luck, and
 * tables on machines without paging-structure caches. What falls out of the books, which have a fixed size, is not checked. */
#pragma once

#include "mm/pt.h"

#if defined(VOLLEY_DEBUG) && !defined(VOLLEY_HOST)
#define TLB_GHOST 1
/* Under the lock of the tables, after the write: a leaf is gone from there, or a table. */
void tlb_ghost_leaf_gone(const struct pt *pt, vaddr_t va, u32 level, u64 old);
void tlb_ghost_table_gone(const struct pt *pt, vaddr_t va, paddr_t table);
/* Before the write: a leaf is about to be there. */
void tlb_ghost_leaf_comes(const struct pt *pt, vaddr_t va, u32 level, u64 leaf);
/* Any context that may free frames: these are about to be. */
void tlb_ghost_free(u32 first, u32 frames);
#else
#define TLB_GHOST                                0
#define tlb_ghost_leaf_gone(pt, va, level, old)  ((void)0)
#define tlb_ghost_table_gone(pt, va, table)      ((void)0)
#define tlb_ghost_leaf_comes(pt, va, level, pte) ((void)0)
#define tlb_ghost_free(first, frames)            ((void)0)
#endif
