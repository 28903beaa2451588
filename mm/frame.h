/* Physical frames: a buddy allocator over the boot memory map, with a cache on each CPU for single frames.
 *
 * Every frame has a descriptor with its state, an owner tag and a generation, which the coherence tests read.
 * Contexts: any but NMI: its lists are guarded with interrupts off. The kernel's message functions do not allocate, but a shootdown
 * that was put off gives its memory back where its last CPU has flushed, and self tests look at a CPU's cache by a message. */
#pragma once

#include "lib/boot_info.h"
#include "lib/types.h"

enum frame_order { FRAME_4K = 0, FRAME_2M = 9 }; /* 4 KiB << order; the largest block is 2 MiB */

enum frame_owner { /* who has it; tests use numbers from FRAME_OWNER_TEST on */
                   FRAME_OWNER_NONE = 0,
                   FRAME_OWNER_KERNEL,
                   FRAME_OWNER_TABLE, /* page-table page */
                   FRAME_OWNER_STACK,
                   FRAME_OWNER_PERCPU,
                   FRAME_OWNER_USER,
                   FRAME_OWNER_TEST = 16,
};

struct frame {
    u32 generation; /* grows with every allocation of this frame */
    u16 owner;      /* enum frame_owner: who has it, or had it last */
    u8 order;       /* of the block that begins here */
    u8 state;       /* enum frame_state in mm/frame_internal.h */
    union {
        u32 mappings; /* allocated: leaf entries that point here; 0 when it is freed (asserted) */
        u32 prev;     /* free: the block before it in its list */
    };
    /* Free: the block after it in its list, a frame number, FRAME_LIST_END at the end. Allocated: the owner's, to
     * chain frames that it parks or collects; undefined after allocation. */
    u32 next;
};
_Static_assert(sizeof(struct frame) == 16, "0.4 % of memory; a cache line holds four");
#define FRAME_LIST_END (~0u)

/* Boot CPU, once. Takes all usable memory of the map but the first MiB, the kernel, the modules, and what it needs
 * for its own descriptors (placed in usable memory below 4 GiB, which boot's tables map). Memory above 4 GiB gets
 * descriptors, but is handed out only after frame_init_high. What cannot be described is left out, with a line in
 * the log. */
void frame_init(const struct boot_info *info);
/* Called by kmap_init, once, when phys_to_virt reaches all memory. */
void frame_init_high(void);

/* The new frame's content is undefined. ERR_NOMEM. */
err_t frame_alloc(enum frame_owner owner, paddr_t *out) MUST_CHECK;
err_t frame_alloc_zeroed(enum frame_owner owner, paddr_t *out) MUST_CHECK;
/* 4 KiB << order, aligned to its size; order <= FRAME_2M. */
err_t frame_alloc_order(u32 order, enum frame_owner owner, paddr_t *out) MUST_CHECK;
/* As above, below `limit` (DMA-like needs: AP tables below 4 GiB). Slow. */
err_t frame_alloc_below(u64 limit, enum frame_owner owner, paddr_t *out) MUST_CHECK;
/* Frees what any of the above returned, whole. Double frees, frees of foreign addresses and of frames that are
 * still mapped panic, naming owner and generation. */
void frame_free(paddr_t p);
/* The same for who has its descriptor at hand: f is that of the block that begins at p. */
void frame_free_known(struct frame *f, paddr_t p);

/* An allocated block becomes single frames, each allocated to the same owner and freed by itself; and the reverse,
 * which is false, with nothing done, unless all 512 frames from p on (2 MiB aligned) are single and allocated to
 * one owner. The caller owns them; mm/pt_size.c uses these when it splits and merges owned pages. */
void frame_split(paddr_t p);
bool frame_join(paddr_t p) MUST_CHECK;

/* Its descriptor, or NULL for an address that is no frame of ours. Any context. */
struct frame *frame_of(paddr_t p);

/* A page below 640 KiB that the firmware calls usable, for the AP trampoline; PADDR_NONE if there is none. Always
 * the same one; it is no frame of the allocator. */
paddr_t frame_low_page(void);

/* Memory from this physical address on is not used: the CPU's address width, the direct map or frame numbers end
 * there. */
u64 frame_address_limit(void);

struct frame_stats {
    u64 total, free, cached; /* frames; cached: free ones in the CPUs' caches, part of free */
};
struct frame_stats frame_stats(void); /* exact when the machine is quiet */
/* Gives the running CPU's cached frames back, so that the buddy lists can merge. */
void frame_drain_cache(void);
/* False: single frames come from and go to the buddy lists, where mm/fail.h can refuse them; true: as usual. For all CPUs, but each
 * has to call it itself to be sure of it, as it keeps what its cache has until then. */
void frame_cache_use(bool use);
