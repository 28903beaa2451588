/* What the frame_*.c files share: descriptors by frame number, the buddy lists, the CPUs' caches. */
#pragma once

#include "lib/atomic.h"
#include "mm/frame.h"

enum frame_state {
    FRAME_ABSENT, /* no memory of ours: what zeroed descriptors say */
    FRAME_TAIL,   /* inside a block that begins earlier */
    FRAME_FREE,   /* first of a block in the buddy lists */
    FRAME_CACHED, /* single, in a CPU's cache */
    FRAME_USED,   /* first of an allocated block */
};

#define FRAME_ORDERS    (FRAME_2M + 1u)
#define FRAME_BLOCK_MAX (1u << FRAME_2M) /* frames in the largest block */
#define FRAME_NONE      FRAME_LIST_END   /* no frame number */

/* Descriptors come in sections of 128 MiB of address space (512 KiB each), and only for sections that have memory:
 * a machine with holes of terabytes pays a pointer for each empty section. Blocks never cross a section. */
#define FRAME_SECTION_SHIFT  15u
#define FRAME_SECTION_FRAMES (1u << FRAME_SECTION_SHIFT)
#define FRAME_SECTION_BYTES  (FRAME_SECTION_FRAMES * PAGE_SIZE)

extern struct frame **frame_sections; /* [frame_section_count]; NULL: no memory there. Write-once. */
extern u32 frame_section_count;

/* Of a frame number that has a descriptor. */
static inline struct frame *frame_at(u32 n)
{
    return &frame_sections[n >> FRAME_SECTION_SHIFT][n & (FRAME_SECTION_FRAMES - 1)];
}
static inline u32 frame_number(paddr_t p)
{
    return (u32)(p.v >> PAGE_SHIFT);
}
static inline paddr_t frame_address(u32 n)
{
    return PADDR((u64)n << PAGE_SHIFT);
}

/* frame_of, where the call would cost as much as the look. */
static ALWAYS_INLINE struct frame *frame_find(paddr_t p)
{
    u64 section = p.v >> PAGE_SHIFT >> FRAME_SECTION_SHIFT;
    if (unlikely(section >= frame_section_count || !frame_sections[section]))
        return NULL;
    struct frame *f = frame_at(frame_number(p));
    return unlikely(atomic_load_relaxed(&f->state) == FRAME_ABSENT) ? NULL : f;
}

/* mm/frame_buddy.c: takes its own lock, interrupts off while it is held. States: what is given becomes FRAME_FREE;
 * what is taken is left as `as`, with `order` set, mappings 0. */
u32 frame_buddy_take(u32 order, enum frame_state as); /* FRAME_NONE: no block of that size */
u32 frame_buddy_take_below(u32 end, u32 order,
                           enum frame_state as);  /* wholly below frame number `end`; linear search */
u32 frame_buddy_take_singles(u32 *out, u32 want); /* FRAME_CACHED; returns how many there were */
void frame_buddy_give(u32 n, u32 order);
void frame_buddy_give_singles(const u32 *frames, u32 count);
/* Memory that was never given before: [n, end) within one section. */
void frame_buddy_add(u32 n, u32 end);
void frame_buddy_count(u64 *total, u64 *free);

/* mm/frame_cache.c: the running CPU's. FRAME_NONE if it has none and the buddy lists neither. */
u32 frame_cache_take(enum frame_state as);
void frame_cache_give(u32 n); /* state is set to FRAME_CACHED already */
u64 frame_cache_count(void);  /* over all CPUs; exact when they are quiet */
