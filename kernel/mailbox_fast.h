/* The hot paths of kernel/mailbox.c, inline, so that six words go from the registers of a system call into a line, and from a place
 * into registers, without a stop in between. Included by kernel/mailbox.c and kernel/syscall_message.c only. */
#pragma once

#include "kernel/mailbox.h"
#include "kernel/trap.h"
#include "lib/atomic.h"
#include "lib/counter.h"
#include "smp/message.h"

DECLARE_PERCPU(u64, counter_mail_sent);
DECLARE_PERCPU(u64, counter_mail_refused);

#define MAILBOX_CLOSED (1u << 31) /* of tail; places are counted modulo 2^31 */
#define REPLY_PLACE    MAILBOX_MESSAGES

/* How a call stands: the low bits of `call`; above them the handle of the thread that is called. */
enum call_state { CALL_NONE, CALL_WAITING, CALL_REPLYING, CALL_REPLIED };
#define CALL_STATE               3ull
#define CALL_WORD(handle, state) ((u64)(handle) << 2 | (state))

struct mailbox {
    /* Senders'. */
    u32 tail CACHE_ALIGNED; /* places reserved so far, and MAILBOX_CLOSED */
    u32 callers;            /* threads inside mailbox_call to this one */
    /* The receiver's. */
    u32 head CACHE_ALIGNED; /* places given back so far */
    u64 call;               /* as a caller: CALL_WORD */
    u64 reply[MSG_WORDS];
    struct {
        u64 word[MSG_WORDS];
        thread_handle_t from;
        u32 ready;
    } CACHE_ALIGNED place[MAILBOX_MESSAGES];
};
_Static_assert(sizeof(struct mailbox) <= MAILBOX_BYTES, "kernel/thread.c shares a frame with the XSAVE area");
_Static_assert((MAILBOX_MESSAGES & (MAILBOX_MESSAGES - 1)) == 0, "places are numbered modulo their count");

static ALWAYS_INLINE err_t mailbox_reserve(struct mailbox *m, u32 *place)
{
    u32 tail = atomic_load_relaxed(&m->tail);
    do {
        if (unlikely(tail & MAILBOX_CLOSED))
            return ERR_ABSENT;
        /* P1. orders: our stores to the place after the receiver's last read of it; pairs with: kernel/mailbox_fast.h:mailbox_take (release);
         * else: it could read half of our message as its last one. */
        u32 head = atomic_load_acquire(&m->head);
        if (unlikely(((tail - head) & ~MAILBOX_CLOSED) >= MAILBOX_MESSAGES)) {
            counter_inc(mail_refused);
            return ERR_FULL;
        }
    } while (unlikely(!atomic_cmpxchg(&m->tail, &tail, (tail + 1) & ~MAILBOX_CLOSED)));
    *place = tail % MAILBOX_MESSAGES;
    return ERR_OK;
}

/* The calling thread's oldest message, if it is there. */
static ALWAYS_INLINE bool mailbox_take(struct mailbox *m, struct user_message *out)
{
    u32 head = m->head, i = head % MAILBOX_MESSAGES;
    /* P2. orders: the message after its being ready; pairs with: kernel/mailbox.c:put (release); else: we could read what is still
     * being written. */
    if (!atomic_load_acquire(&m->place[i].ready))
        return false;
    msg_words_copy(out->word, m->place[i].word);
    out->from = m->place[i].from;
    atomic_store_relaxed(&m->place[i].ready, 0);
    /* P1, the other side. orders: our reads of the place before its being free; pairs with: kernel/mailbox_fast.h:mailbox_reserve (acquire);
     * else: see there. */
    atomic_store_release(&m->head, (head + 1) & ~MAILBOX_CLOSED);
    return true;
}

/* The tag: the receiver's index, and the place. */
#define MAILBOX_TAG_PLACE 16u
extern const struct msg_kind *const mailbox_kind;

/* Where the line is not used: the receiver is on this CPU, or the line has failed. */
void mailbox_deliver_here(struct thread *t, u32 place, const u64 word[MSG_WORDS]);

/* The words of a message in the registers of a system call: RSI RDX R10 R8 R9 R12. */
static ALWAYS_INLINE void mailbox_words(u64 word[MSG_WORDS], const struct trap_frame *f)
{
    word[0] = f->rsi;
    word[1] = f->rdx;
    word[2] = f->r10;
    word[3] = f->r8;
    word[4] = f->r9;
    word[5] = f->r12;
}

/* The place is reserved, the descriptor held; both go with the message. Not MSG_ASYNC, whose copy of the line would be one more: the kind
 * acknowledges by itself, as soon as the words are in their place. */
static ALWAYS_INLINE void mailbox_post(struct thread *t, u32 place, const struct trap_frame *f)
{
    cpu_t cpu = atomic_load_relaxed(&t->cpu);
    u64 copy[MSG_WORDS];
    counter_inc(mail_sent);
    if (likely(cpu != cpu_self())) {
        struct msg m = {
            .kind = mailbox_kind, .flags = MSG_OWN_ACK, .tag = t->index | place << MAILBOX_TAG_PLACE};
        /* As msg_send, but that the words are read after the claim: they need no registers before it. Threads do not lose the CPU in
         * the kernel, so preemption need not be turned off. */
        struct msg_slot *s = msg_slot_to(cpu);
        if (likely(slot_claim(s))) {
            mailbox_words(m.word, f);
            msg_post_claimed(cpu, s, &m);
            return;
        }
        mailbox_words(m.word, f);
        struct msg slow = m;
        if (msg_send_slow(cpu, &slow) == ERR_OK)
            return;
    }
    mailbox_words(copy, f);
    mailbox_deliver_here(t, place, copy);
}

/* A thread of ring 3, held; NULL: there is none. */
static ALWAYS_INLINE struct thread *mailbox_receiver(thread_handle_t to)
{
    struct thread *t = thread_get(to);
    if (unlikely(!t))
        return NULL;
    if (likely(atomic_load_relaxed(&t->mailbox) != NULL))
        return t;
    thread_put(t);
    return NULL;
}

static ALWAYS_INLINE err_t mailbox_send(thread_handle_t to, const struct trap_frame *f)
{
    u32 place;
    struct thread *t = mailbox_receiver(to);
    if (unlikely(!t))
        return ERR_ABSENT;
    err_t e = mailbox_reserve(t->mailbox, &place);
    if (unlikely(e != ERR_OK)) {
        thread_put(t);
        return e;
    }
    t->mailbox->place[place].from = thread_self()->handle;
    mailbox_post(t, place, f);
    return ERR_OK;
}
