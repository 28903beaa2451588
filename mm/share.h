/* Frames with several owners: copy-on-write.
 *
 * A frame behind PT_SHARED leaves has a count of its owners in struct frame.next (nobody chains such a frame): one for each
 * leaf, one for each shootdown that has taken a leaf away and is not finished, one for each copy being made. So whoever is the only owner
 * is that for good: no other CPU can reach the frame, not even by an old translation. The count is raised only by an owner of a
 * leaf, under its space's lock, or for a program's text, which the program owns as long as the machine runs. Any context that may free
 * frames, but where it says otherwise. */
#pragma once

#include "lib/atomic.h"
#include "mm/frame.h"

/* The frame of a leaf that was its only owner gets its count: two. Its space's lock is held. */
static inline void share_begin(struct frame *f)
{
    atomic_store_relaxed(&f->next, 2u);
}
/* A frame that nobody else knows gets its count, for an owner without a leaf: one. */
static inline void share_alone(struct frame *f)
{
    atomic_store_relaxed(&f->next, 1u);
}
/* One owner more. The caller is one, or one of them stays. */
static inline void share_more(struct frame *f)
{
    atomic_fetch_add(&f->next, 1);
}
/* Is the caller the only owner? */
static inline bool share_is_sole(struct frame *f)
{
    /* orders: our writes into the frame after its other owners' last reads; pairs with: mm/share.h:share_drop (LOCKed);
     * else: a copy that another owner was making could see what we write now. */
    return atomic_load_acquire(&f->next) == 1;
}
/* One owner less; the last one frees it. THREAD: only when no CPU can reach the frame by the owner's translation. */
static inline void share_drop(struct frame *f, paddr_t p)
{
    if (atomic_fetch_sub(&f->next, 1) == 1)
        frame_free(p);
}
