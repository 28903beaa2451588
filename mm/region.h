/* Regions: what a range of a user half is meant to be, so that a fault can be explained.
 *
 * A space has up to REGIONS_MAX of them, sorted, disjoint, whole pages. Faults on a demand-zero region bring in zeroed frames;
 * a write to a copy-on-write page gets a frame of its own (FLUSHED first). Everything else is refused, and the thread dies.
 * Regions are changed under their lock, faults are readers of it. Context: THREAD, interrupts on, unless said otherwise. */
#pragma once

#include "mm/space.h"

enum region_kind {
    REGION_ZERO,  /* demand-zero, owned frames */
    REGION_FIXED, /* mapped by whoever made it; faults are not explained */
    REGION_GOING, /* being unmapped: as if it were not there, but not free yet */
};

struct region {
    vaddr_t start, end;
    u32 prot;     /* enum pt_prot */
    u8 kind;      /* enum region_kind */
    u8 page_size; /* enum pt_size of what faults bring in: PT_4K or PT_2M */
    bool cow;     /* pages may be shared with another space: they are mapped read-only until written */
};
#define REGIONS_MAX 120u /* of 32 bytes: one frame a space */

/* How a fault ended. */
enum fault_result {
    FAULT_RETRY,   /* explained: access again */
    FAULT_REFUSED, /* no region explains it */
    FAULT_NOMEM,   /* explained, but memory is out or over the space's limit */
};
struct fault_access {
    bool write, exec, user; /* user: by ring 3, or by a user-copy function on its behalf */
};

/* Adds a region; va 0 means the lowest free place from USER_MAP_BASE on that fits. ERR_EXIST: overlaps; ERR_FULL: REGIONS_MAX;
 * ERR_RANGE, ERR_INVAL. *out is its start. */
err_t region_map(struct space *s, vaddr_t va, u64 bytes, u32 prot, enum region_kind kind,
                 enum pt_size page_size, vaddr_t *out) MUST_CHECK;
/* Brings in all pages of a demand-zero range now. ERR_NOMEM leaves what came in. */
err_t region_populate(struct space *s, vaddr_t start, vaddr_t end) MUST_CHECK;
/* Takes [start, end) out of whatever regions it crosses, pages and tables too. ERR_FULL: a region would have to be split and there
 * is no room; then nothing was done. Addresses without a region are no error. */
err_t region_unmap(struct space *s, vaddr_t start, vaddr_t end) MUST_CHECK;
/* New rights. ERR_ABSENT: part of the range has no region; nothing was done then. Copy-on-write pages stay read-only. */
err_t region_protect(struct space *s, vaddr_t start, vaddr_t end, u32 prot) MUST_CHECK;
/* Moves the region that is exactly [va, va+bytes), or a part of one, with its pages, to `to` (free). */
err_t region_move(struct space *s, vaddr_t va, u64 bytes, vaddr_t to) MUST_CHECK;
/* Gives the frames of a demand-zero range back; the regions stay (MADV_DONTNEED). The hot one: no region changes. */
err_t region_discard(struct space *s, vaddr_t start, vaddr_t end) MUST_CHECK;
/* Makes every region of `from` a copy-on-write region of `to` (which has none): frames are shared, writable pages of both become
 * read-only, `from`'s CPUs have FLUSHED when it returns. */
err_t region_clone(struct space *from, struct space *to) MUST_CHECK;
/* Reads and clears A and D of each 4 KiB of the range into out[] (REGION_PAGE_*), FLUSHED when it returns. */
enum region_page { REGION_PAGE_PRESENT = 1, REGION_PAGE_ACCESSED = 2, REGION_PAGE_DIRTY = 4 };
err_t region_harvest(struct space *s, vaddr_t start, vaddr_t end, u8 *out) MUST_CHECK;

/* Explains a page fault in the user half of the loaded space. Interrupts on, no open user-access section. */
enum fault_result region_fault(struct space *s, vaddr_t va, struct fault_access access);
/* The region that holds va; false: none. */
bool region_query(struct space *s, vaddr_t va, struct region *out);
/* All regions go, with their pages: before space_destroy. */
void region_destroy_all(struct space *s);

#define USER_MAP_BASE 0x0000100000000000ull /* where `va 0` begins to look: far above any program's image */
