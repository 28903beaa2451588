/* A mailbox's ring of places, and the door in front of it: who may put a message in, and into which place.
 *
 * The door lies in the thread's descriptor, which stays for ever; the places lie in memory that goes with the thread. One word of the
 * door holds the thread's handle and the number of places reserved so far, so that one compare-exchange finds out that the thread is
 * there and takes a place of its mailbox. What is reserved keeps the mailbox: the thread does not end before every place that was
 * reserved has been filled (kernel/mailbox.c:mailbox_close). So a sender needs no hold on the descriptor.
 *
 *   sender                                       receiver
 *   mail_reserve: a place              D2
 *   fills it, ready                    D3 -----> mail_take: the oldest, if it is ready
 *                                      D2 <----- the place may be taken again (limit)
 *
 * Pure: tests/host/mail_door_test.c runs it with threads. */
#pragma once

#include "lib/atomic.h"
#include "lib/types.h"
#include "lib/x86/local.h"
#include "smp/slot.h"

#define MAILBOX_MESSAGES 16u
_Static_assert((MAILBOX_MESSAGES & (MAILBOX_MESSAGES - 1)) == 0, "places are numbered modulo their count");

struct mail_door {
    u64 tail; /* low half: the handle of who may be sent to; high half: places reserved so far, modulo 2^32 */
    u32 limit; /* what that number may grow to: places given back, and MAILBOX_MESSAGES; written by the receiver's CPU */
};
#define MAIL_PLACE_ONE (1ull << 32)

struct mail_place {
    u64 word[MSG_WORDS];
    u32 from;
    u32 ready;
} CACHE_ALIGNED;

/* What the low half is while nobody may send: a handle's index leads to its door, and this has another door's. */
#define MAIL_NOBODY(index) ((index) ^ 1u)

/* No place is reserved, all are free and not ready, nobody may send. Before mail_open by whoever makes the thread. */
static inline void mail_init(struct mail_door *d, u32 index)
{
    atomic_store_relaxed(&d->tail, MAIL_NOBODY(index));
    atomic_store_relaxed(&d->limit, MAILBOX_MESSAGES);
}

static inline void mail_open(struct mail_door *d, u32 handle)
{
    /* D1. orders: the mailbox, and `limit`, before the handle that opens it; pairs with: kernel/mail_door.h:mail_reserve (acquire); else: a
     * sender could find the place in what was there before. */
    atomic_store_release(&d->tail, handle);
}

/* From here on nobody reserves. Returns the number of places that were reserved. */
static inline u32 mail_shut(struct mail_door *d, u32 index)
{
    u64 tail = atomic_load_relaxed(&d->tail);
    while (!atomic_cmpxchg(&d->tail, &tail, (tail & ~(MAIL_PLACE_ONE - 1)) | MAIL_NOBODY(index)))
        ;
    return (u32)(tail >> 32);
}

static inline bool mail_is_open(const struct mail_door *d, u32 handle)
{
    return (u32)atomic_load_relaxed(&d->tail) == handle;
}

/* A place of the mailbox behind this door, for a thread that is there under this handle (all 64 bits count). ERR_ABSENT: it is not;
 * ERR_FULL. Any context. */
static ALWAYS_INLINE err_t mail_reserve(struct mail_door *d, u64 handle, u32 *place)
{
    /* D1, the other side; and who took the last place had seen a limit that allowed it, so the one that we see below is no older,
     * and never behind `tail`.
     * orders: reading the mailbox and `limit` after `tail`; pairs with: kernel/mail_door.h:mail_open (release), and the LOCKed exchange
     * below; else: a place could seem free, or none, by a limit of long ago. */
    u64 tail = atomic_load_acquire(&d->tail);
    do {
        if (unlikely((u32)tail != handle))
            return ERR_ABSENT;
        /* D2. orders: our stores to the place after the receiver's last read of it; pairs with: kernel/mail_door.h:mail_give_back
         * (release); else: it could read half of our message as its last one. */
        if (unlikely((u32)(tail >> 32) == atomic_load_acquire(&d->limit)))
            return ERR_FULL;
    } while (unlikely(!atomic_cmpxchg(&d->tail, &tail, tail + MAIL_PLACE_ONE)));
    *place = (u32)(tail >> 32) % MAILBOX_MESSAGES;
    return ERR_OK;
}

/* Whoever has the sender's message puts it into the place that was reserved for it; the place is the receiver's then. */
static ALWAYS_INLINE void mail_put(struct mail_place *p, const u64 word[MSG_WORDS])
{
    msg_words_copy(p->word, word);
    /* D3. orders: the message, and whom it is from, before its being ready; pairs with: kernel/mail_door.h:mail_is_ready (acquire);
     * else: the receiver could read what is still being written. */
    atomic_store_release(&p->ready, 1);
}

static ALWAYS_INLINE bool mail_is_ready(const struct mail_place *p)
{
    /* D3, the other side. orders: reading the message after its being ready; pairs with: kernel/mail_door.h:mail_put (release); else: see
     * there. */
    return atomic_load_acquire(&p->ready);
}

/* The receiver's: the place that the next message comes to. */
static ALWAYS_INLINE u32 mail_next(const struct mail_door *d)
{
    return atomic_load_relaxed(&d->limit) % MAILBOX_MESSAGES;
}

/* The receiver's CPU: the place mail_next, which is not ready any more, may be reserved again. */
static ALWAYS_INLINE void mail_give_back(struct mail_door *d)
{
    /* D2, the other side. orders: our reads of the place before its being free; pairs with: kernel/mail_door.h:mail_reserve (acquire); else:
     * see there. */
    local_inc_release_u32(&d->limit);
}
