/* The sender's hot path, inline: about thirty instructions from the call to the ICR write, when the kind, the flags
 * and the words are known where it is called. Included by smp/message.h only.
 *
 * What is unusual (a line that is full, closed or our own, a CPU that does not exist) leaves for smp/send.c with a
 * copy of the message, so that the caller's struct msg never has its address taken and lives in registers. */
#pragma once

#include "lib/assert.h"
#include "lib/context.h"
#include "lib/counter.h"
#include "lib/percpu.h"

/* Written once by msg_init. */
extern u32 msg_cpus;                          /* CPUs that have an inbox */
extern struct msg_inbox *msg_inbox[MAX_CPUS]; /* by receiver */
struct msg_self {
    u64 slot_offset;    /* of this CPU's line, in anyone's inbox */
    u64 pending_offset; /* of the pending word with this CPU's bit, in anyone's inbox, class fixed */
    u64 bit;
    u64 others; /* CPUs 0 .. 63 that a shorthand interrupt from here reaches; 0: none is to be used */
    struct msg_inbox *inbox; /* its own */
};
DECLARE_PERCPU(struct msg_self, msg_self);

DECLARE_PERCPU(u64, counter_msg_sent);
DECLARE_PERCPU(u64, counter_msg_rings_saved);

/* smp/deliver.c. */
void msg_ring(cpu_t to);
void msg_ring_nmi(cpu_t to);
void msg_ring_word(u64 set); /* CPUs 0 .. 63 */
void msg_ring_shorthand(void);

/* smp/send.c: what the hot path could not do. */
u64 msg_post_rest(u64 set, u64 todo, bool published, const struct msg *m);
err_t msg_post_slow(cpu_t to, const struct msg *m);
err_t msg_send_slow(cpu_t to, const struct msg *m);
err_t msg_call_slow(cpu_t to, const struct msg *m);
void msg_post_mask_slow(const cpumask_t *to, const struct msg *m, cpumask_t *full);
err_t msg_call_mask_slow(const cpumask_t *to, const struct msg *m);
err_t msg_call_rest(u64 set, u64 refused, const struct msg *m); /* CPUs 0 .. 63 */

/* smp/wait.c: msg_wait_mask for CPUs 0 .. 63. */
err_t msg_wait_word(u64 set) MUST_CHECK;

static ALWAYS_INLINE struct msg_slot *msg_slot_to(cpu_t to)
{
    return (struct msg_slot *)((char *)msg_inbox[to] + this_cpu(msg_self).slot_offset);
}

/* Of the pending word with this CPU's bit, in anyone's inbox. */
static ALWAYS_INLINE u64 msg_pending_offset(u32 flags)
{
    u64 class_offset = flags & MSG_NMI ? sizeof(((struct msg_inbox *)NULL)->pending[0]) * MSG_CLASS_NMI : 0;
    return this_cpu(msg_self).pending_offset + class_offset;
}

static ALWAYS_INLINE u64 *msg_pending_at(cpu_t to, u32 flags)
{
    return (u64 *)((char *)msg_inbox[to] + msg_pending_offset(flags));
}

/* After slot_fill. True: `to` is to be rung; otherwise somebody does that, or has. */
static ALWAYS_INLINE bool msg_publish_filled(cpu_t to, u32 flags)
{
    counter_inc(msg_sent);
    /* The slot, in which the receiver acknowledged: fetched by slot_claim's look, then taken; the pending word, which it took. */
    cost_lines_turns(3, 1);
    return inbox_publish(msg_pending_at(to, flags), this_cpu(msg_self).bit);
}

/* After slot_claim. */
static ALWAYS_INLINE void msg_post_claimed(cpu_t to, struct msg_slot *s, const struct msg *m)
{
    slot_fill(s, slot_what(m->kind, m->flags, m->tag), m->word);
    if (likely(msg_publish_filled(to, m->flags))) {
        if (m->flags & MSG_NMI)
            msg_ring_nmi(to);
        else
            msg_ring(to);
    } else {
        counter_inc(msg_rings_saved);
    }
}

/* False: nothing was done. */
static ALWAYS_INLINE bool msg_post_fast(cpu_t to, const struct msg *m)
{
    if (unlikely(to >= msg_cpus))
        return false;
    struct msg_slot *s = msg_slot_to(to);
    if (unlikely(!slot_claim(s)))
        return false;
    msg_post_claimed(to, s, m);
    return true;
}

static ALWAYS_INLINE err_t msg_post(cpu_t to, const struct msg *m)
{
    if (likely(msg_post_fast(to, m)))
        return ERR_OK;
    struct msg copy = *m;
    return msg_post_slow(to, &copy);
}

static ALWAYS_INLINE err_t msg_send(cpu_t to, const struct msg *m)
{
    preempt_disable();
    bool sent = msg_post_fast(to, m);
    preempt_enable();
    if (likely(sent))
        return ERR_OK;
    struct msg copy = *m;
    return msg_send_slow(to, &copy);
}

static ALWAYS_INLINE err_t msg_call(cpu_t to, const struct msg *m)
{
    err_t e;
    preempt_disable();
    if (likely(msg_post_fast(to, m))) {
        e = msg_wait(to);
    } else {
        struct msg copy = *m;
        e = msg_call_slow(to, &copy);
    }
    preempt_enable();
    return e;
}

/* On a machine with at most 64 CPUs, by ordinary interrupt. All lines first, then the rings: one ICR write can then
 * reach all, and the receivers start together. Returns the CPUs that got nothing, the running one among them if it is
 * in the set: its line to itself is never free. At the first line that is not free, or pending word that is not empty,
 * smp/send.c takes over: so nothing that the loop uses has to survive a call, and be saved for that by the caller. */
static ALWAYS_INLINE u64 msg_post_word(u64 set, const struct msg *m)
{
    u64 slot_offset = this_cpu(msg_self).slot_offset, pending_offset = this_cpu(msg_self).pending_offset;
    for (u64 todo = set; todo; todo &= todo - 1) {
        char *box = (char *)msg_inbox[lowest_bit(todo)];
        struct msg_slot *s = (struct msg_slot *)(box + slot_offset);
        if (unlikely(!slot_claim(s))) {
            struct msg copy = *m;
            return msg_post_rest(set, todo, false, &copy);
        }
        slot_fill(s, slot_what(m->kind, m->flags, m->tag), m->word);
        counter_inc(msg_sent);
        if (unlikely(!inbox_publish((u64 *)(box + pending_offset), this_cpu(msg_self).bit))) {
            struct msg copy = *m;
            return msg_post_rest(set, todo, true, &copy);
        }
    }
    /* As msg_post_claimed; and the turns of the ring, which has no site of its own. */
    cost_lines_turns(3 * __builtin_popcountll(set),
                     __builtin_popcountll(set) * (set == this_cpu(msg_self).others ? 1 : 2));
    if (likely(set == this_cpu(msg_self).others))
        msg_ring_shorthand();
    else
        msg_ring_word(set);
    return 0;
}

/* Whether msg_post_word will do. */
static ALWAYS_INLINE bool msg_is_one_word(u32 flags)
{
    return likely(cpumask_words == 1) && likely(!(flags & MSG_NMI));
}

static ALWAYS_INLINE void msg_post_mask(const cpumask_t *to, const struct msg *m, cpumask_t *full)
{
    if (msg_is_one_word(m->flags)) {
        u64 refused = msg_post_word(to->w[0], m);
        ASSERT(!(refused & this_cpu(msg_self).bit), "a CPU does not post to itself");
        full->w[0] = refused;
        return;
    }
    struct msg copy = *m;
    msg_post_mask_slow(to, &copy, full);
}

static ALWAYS_INLINE err_t msg_call_mask(const cpumask_t *to, const struct msg *m)
{
    err_t e;
    preempt_disable();
    if (msg_is_one_word(m->flags)) {
        u64 set = to->w[0], refused = msg_post_word(set, m);
        if (likely(!refused)) {
            e = msg_wait_word(set);
        } else {
            struct msg copy = *m;
            e = msg_call_rest(set, refused, &copy);
        }
    } else {
        struct msg copy = *m;
        e = msg_call_mask_slow(to, &copy);
    }
    preempt_enable();
    return e;
}
