/* Page tables: 4 KiB, 2 MiB and 1 GiB leaves; map, unmap, protect, walk, split, merge.
 *
 * Mechanism only: nothing here flushes, waits or knows a CPU. A caller changes entries under its space's lock; the
 * hardware walker meanwhile sets accessed and dirty bits, so entries are changed by atomic exchange, rights by
 * compare-and-exchange (SDM volume 3A, section 4.8). What a change made stale is returned, and it is mm/shootdown's
 * to make everyone forget it.
 *
 * Every operation is a sequence of single-entry writes after each of which every address translates either as
 * before or as the operation wants it; none has to be undone, because memory is found and conflicts are looked for
 * first. New tables are complete before one exchange links them.
 *
 * A leaf counts in the `mappings` of the frame that its entry points at (its first 4 KiB), except in the direct
 * map, which is the kernel's window on all frames and no use of one.
 *
 * Ranges are [start, end), page aligned, canonical, not empty, within one half; end = 0 is the end of the kernel
 * half. */
#pragma once

#include "lib/types.h"

enum pt_prot {
    PT_READ = 0,
    PT_WRITE = 1u << 0,
    PT_EXEC = 1u << 1,
    PT_USER = 1u << 2,
    PT_GLOBAL = 1u << 3,
    PT_UNCACHED = 1u << 4,      /* PCD|PWT: UC */
    PT_WRITE_COMBINE = 1u << 5, /* PAT entry 4, set to WC by kernel/features.c */
    PT_OWNED =
        1u
        << 6, /* software bit 9: the frame belongs to this mapping and is parked when it goes. The page is one whole
                           allocation (mm/frame.h) of its size, so 2 MiB at most */
    PT_SHARED =
        1u
        << 7, /* with OWNED, software bit 10, 4 KiB only: the frame has several owners and a count of them (mm/share.h). Such
                           a leaf is never writable, whatever rights it is given */
};

enum pt_size { PT_4K = 12, PT_2M = 21, PT_1G = 30 }; /* log2 of the page size */

/* Where table pages come from and go to, so that the same code serves boot, spaces and host tests. */
struct pt_pool {
    err_t (*alloc)(struct pt_pool *p, paddr_t *out); /* a zeroed page */
    /* An unlinked table page: NOT free yet, other CPUs may still walk it. The pool parks it until WALKERS holds. */
    void (*retire)(struct pt_pool *p, paddr_t page);
    /* A table page that no CPU can have walked, because it was never linked, or the whole tree is in no CPU: free
     * at once. NULL: retire does for both. */
    void (*free)(struct pt_pool *p, paddr_t page);
    /* The root's entry `index` has become `value`. For who keeps a second root; NULL: nobody does. */
    void (*root_changed)(struct pt_pool *p, u32 index, u64 value);
};

struct pt {
    paddr_t root;
    struct pt_pool *pool;
};

struct pt_entry {
    bool present;
    enum pt_size size;
    u32 prot;   /* enum pt_prot */
    paddr_t pa; /* of the page */
    bool accessed, dirty;
};

/* Sees each leaf that a change removed or altered, with its old content (A and D as the walker left them). Called
 * in the middle of the change, under the caller's lock: it may park a frame, and no more. */
struct pt_visitor {
    void (*leaf)(struct pt_visitor *v, vaddr_t va, enum pt_size size, u64 old_pte);
};

/* Maps one page with one visible write. ERR_EXIST if anything is mapped there, ERR_NOMEM, ERR_RANGE for a bad
 * address or one that is not aligned to the size, ERR_INVAL for a misaligned pa, ERR_UNSUPPORTED for 1 GiB on a CPU
 * without it; nothing is changed then. Not-present to present: no flush is needed anywhere. */
err_t pt_map(struct pt *pt, vaddr_t va, paddr_t pa, enum pt_size size, u32 prot) MUST_CHECK;
/* Maps [va, va+bytes) to [pa, ...) with the largest pages that alignment, max_size and the CPU allow. All or
 * nothing: on an error (those of pt_map) no entry was written. */
err_t pt_map_range(struct pt *pt, vaddr_t va, paddr_t pa, u64 bytes, enum pt_size max_size,
                   u32 prot) MUST_CHECK;

/* What a change did, for the shootdown that must follow. */
struct pt_change {
    u64 leaves;          /* entries that were present and changed */
    u64 tables;          /* table pages retired to the pool */
    bool narrowed;       /* some right was taken away, or a page went: someone must forget */
    bool global;         /* a global entry was among them */
    enum pt_size stride; /* smallest page size seen; PT_4K if none was */
};

/* Removes every leaf in the range (larger pages that straddle its ends are split first) and every table that
 * becomes empty, but for the kernel half's tables right below the root, which all spaces share. ERR_NOMEM can come
 * from a split, before anything was changed. *out is set in any case; v may be NULL. */
err_t pt_unmap(struct pt *pt, vaddr_t start, vaddr_t end, struct pt_visitor *v,
               struct pt_change *out) MUST_CHECK;
/* The same, but no table goes, empty or not: the next mapping there needs no memory, and the shootdown no walkers. */
err_t pt_discard(struct pt *pt, vaddr_t start, vaddr_t end, struct pt_visitor *v,
                 struct pt_change *out) MUST_CHECK;
/* Gives every present leaf in the range the new rights (PT_WRITE, PT_EXEC, PT_USER; the rest stays, and a PT_SHARED leaf
 * stays read-only). Splits as
 * pt_unmap does: until the flush that a narrowing needs, a CPU may use the large page's entry or the small one's,
 * that is, the old rights or the new (SDM volume 3A, section 4.10.2.3). Leaves that have these rights already do
 * not count as changed. */
err_t pt_protect(struct pt *pt, vaddr_t start, vaddr_t end, u32 prot, struct pt_visitor *v,
                 struct pt_change *out) MUST_CHECK;
/* Replaces the page at va by another of the same size in one exchange; ERR_ABSENT if there is none of that size,
 * else as pt_map. A and D start clear; *old_pte has what the walker had set. */
err_t pt_remap(struct pt *pt, vaddr_t va, paddr_t pa, enum pt_size size, u32 prot, u64 *old_pte) MUST_CHECK;
/* The translation of va, as the hardware would find it: rights are those that all levels grant. Needs no lock
 * against changes, if the tables that they retire are not reused meanwhile. */
struct pt_entry pt_walk(const struct pt *pt, vaddr_t va);
/* Replaces the large page that holds va by a table of 512 smaller ones with the same rights. Old and new say the
 * same of every address, but both may be cached at once: attribute changes must wait for a flush. ERR_ABSENT if
 * none is there. */
err_t pt_split(struct pt *pt, vaddr_t va, enum pt_size from, struct pt_change *out) MUST_CHECK;
/* The reverse: a table of 512 equal, contiguous leaves becomes one leaf, and the table is retired. ERR_INVAL if
 * they are not, ERR_ABSENT if there is no table. The new page is born accessed, and dirty if it is writable: a
 * walker that still holds the old table may set these bits there after we have read them, and a dirty bit must
 * never be lost. */
err_t pt_merge(struct pt *pt, vaddr_t va, enum pt_size to, struct pt_change *out) MUST_CHECK;
/* Harvests A or D: clears `bits` of the leaf at va, returns whether any was set. A flush must follow before it
 * counts. */
#define PT_ACCESSED (1ull << 5)
#define PT_DIRTY    (1ull << 6)
err_t pt_clear_bits(struct pt *pt, vaddr_t va, u64 bits, bool *was_set) MUST_CHECK;

/* Reads and clears A and D of every leaf in the range. out[] has a byte for each 4 KiB from start on: PT_AGE_* bits; a large
 * page's pair is told for each of its pages, and cleared for all of it. *change: the leaves in which a bit was set. */
enum pt_age { PT_AGE_PRESENT = 1, PT_AGE_ACCESSED = 2, PT_AGE_DIRTY = 4 };
err_t pt_harvest(struct pt *pt, vaddr_t start, vaddr_t end, u8 *out, struct pt_change *change) MUST_CHECK;

/* Calls fn for every present leaf of the tree in address order; stops when fn returns false. */
void pt_for_each(const struct pt *pt, vaddr_t start, vaddr_t end,
                 bool (*fn)(void *arg, vaddr_t va, const struct pt_entry *e), void *arg);
/* Frees every table page below the root's user half straight to the pool; what leaves point at is no longer counted
 * as mapped, and else ignored. Nobody may have it loaded, or hold entries of it. The root page stays the caller's. */
void pt_destroy_user(struct pt *pt);
