/* The sender's hot path, inline: about thirty instructions from the call to the ICR write, when the kind, the flags and the
 * words are known where it is called. Included by smp/message.h only.
 *
 * What is unusual (a line that is full, closed or our own, a CPU that does not exist) leaves for smp/send.c with a copy of
 * the message, so that the caller's struct msg never has its address taken and lives in registers. */
#pragma once

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
    struct msg_inbox *inbox; /* its own */
};
DECLARE_PERCPU(struct msg_self, msg_self);

DECLARE_PERCPU(u64, counter_msg_sent);
DECLARE_PERCPU(u64, counter_msg_rings_saved);

/* smp/deliver.c. */
void msg_ring(cpu_t to);
void msg_ring_nmi(cpu_t to);

/* smp/send.c: what the hot path could not do. */
err_t msg_post_slow(cpu_t to, const struct msg *m);
err_t msg_send_slow(cpu_t to, const struct msg *m);
err_t msg_call_slow(cpu_t to, const struct msg *m);

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

/* After slot_claim. */
static ALWAYS_INLINE void msg_post_claimed(cpu_t to, struct msg_slot *s, const struct msg *m)
{
    slot_fill(s, (u64)m->kind + m->flags, m->word);
    counter_inc(msg_sent);
    if (likely(inbox_publish(msg_pending_at(to, m->flags), this_cpu(msg_self).bit))) {
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
