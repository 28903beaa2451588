/* The hot paths of kernel/mailbox.c, inline, so that six words go from the registers of a system call into a line, and from a place
 * into registers, without a stop in between. Included by kernel/mailbox.c, kernel/syscall_message.c and
 * tests/user_resume.c only.
 *
 * What is unusual is left to functions of kernel/mailbox.c as the last thing that is done: so nothing here has to survive a call, and a
 * system call that sends a message saves no register (docs/benchmarks.md has where its ticks go). */
#pragma once

#include "kernel/mailbox.h"
#include "kernel/thread_internal.h"
#include "kernel/trap.h"
#include "lib/atomic.h"
#include "lib/counter.h"
#include "smp/message.h"
#include "smp/ring.h"

DECLARE_PERCPU(u64, counter_mail_sent);

/* In the tag instead of a place: a reply's. */
#define REPLY_PLACE MAILBOX_MESSAGES

/* How a call stands: the low bits of `call`; above them the handle of the thread that is called. */
enum call_state { CALL_NONE, CALL_WAITING, CALL_REPLYING, CALL_REPLIED };
#define CALL_STATE               3ull
#define CALL_WORD(handle, state) ((u64)(handle) << 2 | (state))

struct mailbox {
    u32 callers CACHE_ALIGNED; /* threads inside mailbox_call to this one */
    /* The receiver's, as a caller. */
    u64 call CACHE_ALIGNED; /* CALL_WORD */
    u64 reply[MSG_WORDS];
    struct mail_place place[MAILBOX_MESSAGES];
};
_Static_assert(sizeof(struct mailbox) <= MAILBOX_BYTES, "kernel/thread.c shares a frame with the XSAVE area");

/* The tag: the receiver's index, and the place. */
#define MAILBOX_TAG_PLACE 16u
/* Where a place goes in `what`: the upper half is the tag, inverted bit by bit (smp/slot.h:slot_what). */
#define MAILBOX_WHAT_PLACE (32u + MAILBOX_TAG_PLACE)

/* The calling thread's oldest message, if it is there. */
static ALWAYS_INLINE bool mailbox_take(struct thread *self, struct user_message *out)
{
    struct mail_place *p = &self->mailbox->place[mail_next(&self->mail)];
    if (!mail_is_ready(p))
        return false;
    msg_words_copy(out->word, p->word);
    out->from = p->from;
    atomic_store_relaxed(&p->ready, 0);
    mail_give_back(&self->mail);
    return true;
}

/* What the line to that CPU could not take: it is still busy, or it is this CPU's own, which never is free. Delivers all the same. */
void mailbox_post_slow(struct thread *t, u32 place, const struct trap_frame *f);

/* The place is reserved, and for a reply the descriptor held; both go with the message. The words of a message are in the registers of the
 * system call: RSI RDX R10 R8 R9 R12; word0 and word1, the first two of them, are at hand still. Not MSG_ASYNC, whose copy of the line
 * would be one more: the kind acknowledges by itself, as soon as the words are in their place.
 *
 * As msg_send, but that nothing is waited for here. Threads do not lose the CPU in the kernel, so preemption need not be turned off. */
static ALWAYS_INLINE void mailbox_post(struct thread *t, u32 place, u64 word0, u64 word1,
                                       const struct trap_frame *f)
{
    cpu_t cpu = atomic_load_relaxed(&t->cpu);
    struct msg_slot *s = msg_slot_to(cpu);
    counter_inc(mail_sent);
    if (unlikely(!slot_claim(s))) {
        mailbox_post_slow(t, place, f);
        return;
    }
    const u64 word[MSG_WORDS] = {word0, word1, f->r10, f->r8, f->r9, f->r12};
    slot_fill(s, t->mail_what ^ (u64)place << MAILBOX_WHAT_PLACE, word);
    if (likely(msg_publish_filled(cpu, MSG_OWN_ACK)))
        msg_ring_inline(cpu);
    else
        counter_inc(msg_rings_saved);
}

COLD s64 mailbox_refused(err_t e); /* counts it; what the system call returns */

/* SYS_SEND: the reservation finds out that `to` is there, and keeps its mailbox until the message is in it. */
static ALWAYS_INLINE s64 mailbox_send(u64 to, u64 word0, u64 word1, const struct trap_frame *f)
{
    u32 place;
    struct thread *t = thread_at(to % THREAD_MAX);
    err_t e = mail_reserve(&t->mail, to, &place);
    if (unlikely(e != ERR_OK))
        return mailbox_refused(e);
    t->mailbox->place[place].from = thread_self()->handle;
    mailbox_post(t, place, word0, word1, f);
    return 0;
}
