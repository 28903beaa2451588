/* Regions: what a range of a user half is meant to be, so that a fault can be explained.
 *
 * A space has up to REGIONS_MAX of them, sorted, disjoint, whole pages; neighbours that say the same become one. Faults on a demand-zero
 * region bring in zeroed frames; a write to a copy-on-write page gets a frame of its own (FLUSHED first). Everything else is refused,
 * and the thread dies.
 *
 * One lock guards a space's regions and its page tables: the space's own (mm/space.h). So whoever finds the region of a page, under
 * the lock, may change the page before anyone can change the region. The lock is never held while waiting for a CPU. Who needs
 * several shootdowns for one operation marks its regions REGION_GOING meanwhile; whoever else needs such a range waits for it, as it does
 * for any change in flight there (region_open in mm/region_table.c). Lock order: a space's lock, then those of the frames; of two
 * spaces, no two at a time.
 *
 * Context: THREAD, interrupts on, no lock held, unless said otherwise: every one of these may wait for other CPUs. A fault in a copy to or from
 * ring 3 may be explained here, with the user-access section closed by the exception's entry. */
#pragma once

#include "mm/space.h"

enum region_kind {
    REGION_ZERO,  /* demand-zero, owned frames */
    REGION_FIXED, /* mapped by whoever made it; faults are not explained */
    REGION_GOING, /* on its way to another address, or being unmapped: whoever needs it waits */
};

struct region {
    vaddr_t start, end;
    u32 prot;     /* enum pt_prot */
    u8 kind;      /* enum region_kind */
    u8 page_size; /* enum pt_size of what faults bring in: PT_4K or PT_2M; 2 MiB where they fit into the region and memory has such a block */
    bool cow;     /* pages may be shared with another space: those are mapped read-only until written */
};
/* As many as fit into the one frame that a space's regions have: a stack each for the threads of a process, its image, and some. */
#define REGIONS_MAX 168u

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
 * ERR_RANGE, ERR_INVAL; ERR_NOMEM: no frame for the first region of a space. *out is its start. */
err_t region_map(struct space *s, vaddr_t va, u64 bytes, u32 prot, enum region_kind kind,
                 enum pt_size page_size, vaddr_t *out) MUST_CHECK;
/* Brings in all pages of a demand-zero range now. ERR_NOMEM leaves what came in. ERR_ABSENT: so far, and the next page is in
 * no demand-zero region. */
err_t region_populate(struct space *s, vaddr_t start, vaddr_t end) MUST_CHECK;
/* Puts a frame that other owners stay with (mm/share.h) into the empty page at va of a demand-zero region, copy-on-write. ERR_ABSENT: there
 * is no such region; ERR_EXIST: something is there; ERR_NOMEM: a table, or the space's limit; then nothing was done. */
err_t region_share(struct space *s, vaddr_t va, paddr_t frame) MUST_CHECK;
/* Takes [start, end) out of whatever regions it crosses, pages and tables too. ERR_FULL: a region would have to be split and there
 * is no room; ERR_NOMEM: a large page would have to be split, and there is no memory for the table; then nothing was done. Addresses without
 * a region are no error. */
err_t region_unmap(struct space *s, vaddr_t start, vaddr_t end) MUST_CHECK;
/* New rights. ERR_ABSENT: part of the range has no region; ERR_INVAL: a fixed region would get rights that it was not given; ERR_FULL and
 * ERR_NOMEM as region_unmap; nothing was done then. Copy-on-write pages stay read-only. */
err_t region_protect(struct space *s, vaddr_t start, vaddr_t end, u32 prot) MUST_CHECK;
/* Moves the demand-zero region [va, va+bytes), or a part of one, with its pages, to `to` (free): what it was is gone for everyone
 * (FLUSHED) before anything can be reached at the new place. ERR_ABSENT: it is not, or not of one region; ERR_EXIST: `to` is taken, or
 * overlaps; ERR_INVAL: a region of 2 MiB pages would end up between them; ERR_FULL, ERR_NOMEM: nothing was done. */
err_t region_move(struct space *s, vaddr_t va, u64 bytes, vaddr_t to) MUST_CHECK;
/* Gives the frames of a demand-zero range back; the regions stay (MADV_DONTNEED), and so do page tables: ENTERED is enough. The hot one.
 * ERR_ABSENT, ERR_INVAL: part of the range has no region, or a fixed one; ERR_NOMEM as region_unmap; nothing was done then. */
err_t region_discard(struct space *s, vaddr_t start, vaddr_t end) MUST_CHECK;
/* Makes every demand-zero region of `from` a copy-on-write region of `to`, which has none and which nobody else uses yet: frames are
 * shared, writable pages of both become read-only, `from`'s CPUs have FLUSHED when it returns. 2 MiB pages are split first. Fixed regions are
 * left out: their memory is not the space's. ERR_NOMEM, ERR_FULL: `to` holds a part, for region_destroy_all. */
err_t region_clone(struct space *from, struct space *to) MUST_CHECK;
/* Reads and clears A and D of each 4 KiB of the range into out[] (REGION_PAGE_*), FLUSHED when it returns. ERR_ABSENT: part
 * of the range has no region; nothing was done. A large page has one A and one D: told for each of its pages, cleared for all. */
enum region_page { REGION_PAGE_PRESENT = 1, REGION_PAGE_ACCESSED = 2, REGION_PAGE_DIRTY = 4 };
err_t region_harvest(struct space *s, vaddr_t start, vaddr_t end, u8 *out) MUST_CHECK;
/* Makes one page of the 2 MiB at va (aligned) if they are 512 pages of one block of frames, with the same rights and in one demand-zero region;
 * the table goes at WALKERS. ERR_INVAL: they are not; ERR_ABSENT: no such region or no table. */
err_t region_merge(struct space *s, vaddr_t va) MUST_CHECK;

/* Explains a page fault in the user half of the loaded space. Interrupts on, no open user-access section. */
enum fault_result region_fault(struct space *s, vaddr_t va, struct fault_access access);
/* The region that holds va; false: none. */
bool region_query(struct space *s, vaddr_t va, struct region *out);
/* All regions go, with their pages: before space_destroy, when no thread can use the space any more. */
void region_destroy_all(struct space *s);

#define USER_MAP_BASE 0x0000100000000000ull /* where `va 0` begins to look: far above any program's image */
