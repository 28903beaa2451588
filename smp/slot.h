/* The slot protocol: one cache line from each sender to each receiver, and the receiver's pending words that say which
 * of its lines to look at. No policy, no interrupt, no per-CPU state: tests/host/ runs it with threads as CPUs.
 *
 *   sender                                       receiver
 *   slot_claim: the line is free, now mine
 *   slot_fill                            F1
 *   inbox_publish: my pending bit  ------------> inbox_take: all bits of a word, word = 0
 *   (rings if the word was empty)                reads the line
 *   slot_done: acked has caught up <------------ slot_ack
 *                                        F2
 *
 * docs/messages.md draws the diagrams and numbers the fences. */
#pragma once

#include "lib/assert.h"
#include "lib/atomic.h"
#include "lib/cost.h"
#include "lib/cpumask.h"
#include "lib/types.h"
#include "lib/x86/bits.h"
#include "lib/x86/local.h"

#define MSG_WORDS 6u /* 48 bytes: a cache line less the two counters, the kind and the tag */

/* The low bits of `what`, below the kind's address: a kind is 8-byte aligned (asserted in smp/message.h). */
#define SLOT_FLAGS_MASK 3ull

struct msg_body {
    u64 what; /* slot_what: kind, flags, tag; 0 in a line that was never used */
    u64 word[MSG_WORDS];
};

struct msg_slot {
    u32 posted; /* messages that the sender has put here, modulo 2^32; the sender's CPU writes it */
    u32 acked; /* messages acknowledged; the receiver's CPU writes it. posted - acked: 0 free, 1 busy, else closed */
    struct msg_body body;
} CACHE_ALIGNED;
_Static_assert(sizeof(struct msg_slot) == CACHE_LINE_SIZE, "a message is one cache line");

/* Delivery classes: each has pending words of its own, because a bit that an ordinary interrupt is to serve must not
 * keep a sender from ringing an NMI. */
enum msg_class { MSG_CLASS_FIXED, MSG_CLASS_NMI, MSG_CLASSES };

/* One receiver's side: what senders write, what it writes itself, then one line from each sender, by the sender's
 * index. A drain that serves several senders reads neighbours. */
struct msg_inbox {
    struct {
        u64 word[CPUMASK_WORDS];
    } CACHE_ALIGNED pending[MSG_CLASSES];
    struct {
        const void *running; /* the kind whose function runs here now; written by the receiver */
    } CACHE_ALIGNED own;
    struct msg_slot slot[];
};
_Static_assert(sizeof(struct msg_inbox) == 3 * CACHE_LINE_SIZE, "the lines start at a cache line");

/* Kinds lie in the kernel's image, so the upper half of a kind's address is all ones and says nothing: there the tag
 * travels, inverted. A tag of 0 leaves the address as it is, one constant for the compiler; and the lower half alone,
 * sign-extended by the load, is the address again. On the host the image may be anywhere: there the lower half is the
 * distance from where the program begins. */
#ifdef VOLLEY_HOST
extern const char __executable_start[]; /* by the linker */
#define SLOT_KIND_BASE ((u64)__executable_start)
#else
#define SLOT_KIND_BASE 0ull
#endif

static ALWAYS_INLINE u64 slot_what(const void *kind, u32 flags, u32 tag)
{
    u64 address = (u64)kind - SLOT_KIND_BASE;
#ifdef VOLLEY_HOST
    address |= ~0ull << 32;
#endif
    return (address + flags) ^ (u64)tag << 32;
}

/* From the lower half alone. Where all flags are known to be clear the compiler may be told so. */
static ALWAYS_INLINE const void *slot_kind(u32 what)
{
    return (const void *)(SLOT_KIND_BASE + ((u64)(s64)(s32)what & ~SLOT_FLAGS_MASK));
}
static ALWAYS_INLINE const void *slot_kind_unflagged(u32 what)
{
    return (const void *)(SLOT_KIND_BASE + (u64)(s64)(s32)what);
}

static ALWAYS_INLINE u32 slot_tag(u64 what)
{
    return ~(u32)(what >> 32);
}

/* A line starts closed: no sender can claim it until slot_open, so that the hot path needs no test whether the
 * receiver is online, nor whether it is the sender itself: such a line is simply never free. */
static inline void slot_init_closed(struct msg_slot *s)
{
    s->posted = ~0u;
    s->acked = 0;
    s->body.what = 0;
}

static inline bool slot_is_closed(const struct msg_slot *s)
{
    return atomic_load_relaxed(&s->posted) - atomic_load_relaxed(&s->acked) > 1;
}

/* Sender's CPU only. Harmless if the line is open already. */
static inline void slot_open(struct msg_slot *s)
{
    if (slot_is_closed(s))
        (void)local_cmpxchg_u32(&s->posted, ~0u,
                                0); /* fails if an interrupt handler of this CPU was faster */
}

/* Sender's CPU: takes the line if it is free, that is, if posted equals acked. Interrupts may be on: a handler that
 * posts to the same receiver between our look and our claim makes the claim fail, and one that comes after it finds
 * the line busy. */
static ALWAYS_INLINE bool slot_claim(struct msg_slot *s)
{
    /* F2. orders: filling the line after the receiver's last read of it; pairs with: smp/slot.h:slot_ack (release);
     * else: the receiver could still copy the old message while we write the new one, and run a mixture. */
    u32 acked = atomic_load_acquire(&s->acked);
    return likely(local_cmpxchg_u32(&s->posted, acked, acked + 1));
}

/* A line's words, written by the sender and read by the receiver. F1 and F2 order them, so that plain accesses will do; on
 * the simulated machine each is a step, at which a missing fence would show. */
#ifdef VOLLEY_SIM
#define slot_word_set(p, v) atomic_store_relaxed(p, v)
#define slot_word_get(p)    atomic_load_relaxed(p)
#else
#define slot_word_set(p, v) (*(p) = (v))
#define slot_word_get(p)    (*(p))
#endif

/* Word by word: at -O2 gcc leaves a loop a loop, and a message whose words are known costs six stores, no loads. */
static ALWAYS_INLINE void msg_words_copy(u64 *to, const u64 *from)
{
    _Static_assert(MSG_WORDS == 6, "one line for each word");
    to[0] = from[0];
    to[1] = from[1];
    to[2] = from[2];
    to[3] = from[3];
    to[4] = from[4];
    to[5] = from[5];
}

/* After slot_claim. Plain stores: until inbox_publish nobody else looks at the line. */
static ALWAYS_INLINE void slot_fill(struct msg_slot *s, u64 what, const u64 *word)
{
    slot_word_set(&s->body.what, what);
    slot_word_set(&s->body.word[0], word[0]);
    slot_word_set(&s->body.word[1], word[1]);
    slot_word_set(&s->body.word[2], word[2]);
    slot_word_set(&s->body.word[3], word[3]);
    slot_word_set(&s->body.word[4], word[4]);
    slot_word_set(&s->body.word[5], word[5]);
}

/* Receiver, before slot_ack: what the sender may overwrite after it. */
static ALWAYS_INLINE void slot_copy(const struct msg_slot *s, struct msg_body *to)
{
    to->what = slot_word_get(&s->body.what);
    to->word[0] = slot_word_get(&s->body.word[0]);
    to->word[1] = slot_word_get(&s->body.word[1]);
    to->word[2] = slot_word_get(&s->body.word[2]);
    to->word[3] = slot_word_get(&s->body.word[3]);
    to->word[4] = slot_word_get(&s->body.word[4]);
    to->word[5] = slot_word_get(&s->body.word[5]);
}

/* Sender: announces the filled line. True if the pending word was empty: then it is up to the caller to ring;
 * otherwise whoever made it non-empty does, or has, and that interrupt's drain has not taken the word yet. The bit is
 * clear whenever the line is free, so adding it is setting it: one LOCK XADD, where LOCK OR would not say what was
 * there before. */
static ALWAYS_INLINE bool inbox_publish(u64 *pending_word, u64 bit)
{
    /* F1. orders: the whole line before the bit; pairs with: smp/slot.h:inbox_take (acquire); else: the receiver could
     * read a line that is half the old message. */
    u64 before = atomic_fetch_add(pending_word, bit);
    DEBUG_ASSERT(!(before & bit), "a free line's pending bit is clear");
    return before == 0;
}

/* As inbox_publish, for a bit that may be set already: the bare doorbell, which has no line to protect the bit. */
static ALWAYS_INLINE bool inbox_publish_again(u64 *pending_word, u64 bit)
{
    /* F3. orders: the caller's own words before the bit; pairs with: smp/slot.h:inbox_take (acquire); else: the drain's
     * hooks could look at the words too early, and no second interrupt would make them look again. */
    return atomic_fetch_or(pending_word, bit) == 0;
}

/* Receiver: takes all bits of one pending word. From here on who sets a bit finds the word empty, and rings. */
static ALWAYS_INLINE u64 inbox_take(u64 *pending_word)
{
    /* F1, F3 (other side). orders: reading lines after their bits; pairs with: smp/slot.h:inbox_publish; else: see
     * there. */
    return atomic_xchg(pending_word, 0);
}

/* Receiver: the line is the sender's again. Once for each message. */
static ALWAYS_INLINE void slot_ack(struct msg_slot *s)
{
    /* F2 (other side). orders: our reads of the line, the published `running` and, for a synchronous message, all that
     * the function did, before the acknowledgement; pairs with: smp/slot.h:slot_claim and slot_number_done (acquire);
     * else: the sender could overwrite what we still read, or miss what we have done. */
    cost_line(); /* the sender looks at it */
    atomic_store_release(&s->acked, atomic_load_relaxed(&s->posted));
}

/* Sender's CPU: how many messages have been posted, for slot_done. */
static ALWAYS_INLINE u32 slot_posted(const struct msg_slot *s)
{
    return atomic_load_relaxed(&s->posted);
}

/* True once the message with this number has been acknowledged. A handler of this CPU may have posted more since: they
 * are not waited for, so that a stream of them cannot starve the waiter. At once true for a closed line, which holds
 * none. */
static ALWAYS_INLINE bool slot_number_done(const u32 *acked, u32 posted)
{
    /* F2 (the waiter's). orders: all that follows after what the receiver did before it acknowledged; pairs with:
     * smp/slot.h:slot_ack (release); else: a caller could miss results, or reuse memory still in use there. */
    return (s32)(atomic_load_acquire(acked) - posted) >= 0;
}

static ALWAYS_INLINE bool slot_done(const struct msg_slot *s, u32 posted)
{
    return slot_number_done(&s->acked, posted);
}
