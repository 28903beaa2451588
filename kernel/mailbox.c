/* A mailbox is a ring of places, taken in the order of reservations.
 *
 *   sender                                           the CPU where the receiver is        receiver
 *   holds the descriptor; takes a place (tail)
 *   six words and the place into the line ---------> copies them to the place, ready      takes the oldest if it is ready
 *                                                    wakes, gives the descriptor back     gives the place back (head)
 *
 * A place is its sender's from the reservation until `ready` is set, so that two CPUs may deliver at once (the receiver can have moved
 * between two messages), and messages of one sender arrive in order whichever way they took. What was reserved is delivered: if the line
 * fails, straight into the mailbox.
 *
 * A call is a message, and a word of the caller's own mailbox that says whom it waits for. The reply is not put into the ring, so there is
 * always room for it: whoever turns the word from waiting to replying, once, delivers it. */
#include "kernel/mailbox_fast.h"
#include "kernel/thread_internal.h"
#include "lib/context.h"

COUNTER(mail_sent, "messages sent between threads of ring 3");
COUNTER(mail_local, "of these, to a thread of the same CPU");
COUNTER(mail_refused, "messages refused, because the mailbox was full");

struct mailbox *mailbox_init(void *memory)
{
    return memory; /* all zeros is empty */
}

/* Any CPU, any context but NMI: the place is ours. */
static ALWAYS_INLINE void put(struct mailbox *m, u32 place, const u64 *word)
{
    if (likely(place < MAILBOX_MESSAGES)) {
        msg_words_copy(m->place[place].word, word);
        /* P2, the other side. orders: the message before its being ready; pairs with: kernel/mailbox_fast.h:mailbox_take (acquire); else: see
         * there. */
        atomic_store_release(&m->place[place].ready, 1);
    } else {
        msg_words_copy(m->reply, word);
        /* P3. orders: the reply before the state that says so; pairs with: kernel/mailbox.c:await_reply (acquire); else: the caller
         * could read an older one. */
        atomic_store_release(&m->call, (m->call & ~CALL_STATE) | CALL_REPLIED);
    }
}

/* ---- the way there ---- */

void mailbox_deliver_here(struct thread *t, u32 place, const u64 word[MSG_WORDS])
{
    counter_inc(mail_local);
    put(t->mailbox, place, word);
    thread_wake(t);
    thread_put(t);
}

/* To a thread that waits in SYS_RECEIVE, with nothing in its mailbox before this message: into its registers, as
 * kernel/syscall_message.c:give_message does. */
static ALWAYS_INLINE bool give_directly(struct thread *t, u32 place, struct msg_in *in)
{
    struct mailbox *m = t->mailbox;
    u32 head = m->head;
    if (unlikely(!thread_can_resume(t) || place != head % MAILBOX_MESSAGES))
        return false;
    struct trap_frame *f = thread_resume(t);
    f->rax = 0;
    f->rdi = m->place[place].from;
    f->rsi = in->word[0];
    f->rdx = in->word[1];
    f->r10 = in->word[2];
    f->r8 = in->word[3];
    f->r9 = in->word[4];
    f->r12 = in->word[5];
    msg_ack(in);
    /* P1, the other side, as in mailbox_take. pairs with: kernel/mailbox_fast.h:mailbox_reserve (acquire). */
    atomic_store_release(&m->head, (head + 1) & ~MAILBOX_CLOSED);
    return true;
}

/* In place, in the line. It is free again before the receiver wakes, so that its answer finds it so. */
static void deliver_message(struct msg_in *in)
{
    u32 tag = msg_tag(in), place = tag >> MAILBOX_TAG_PLACE;
    struct thread *t = thread_at(tag % (1u << MAILBOX_TAG_PLACE));
    if (likely(give_directly(t, place, in))) {
        thread_put(t);
        return;
    }
    put(t->mailbox, place, in->word);
    msg_ack(in);
    thread_wake_irqoff(t);
    thread_put(t);
}
MSG_KIND(user_message, deliver_message);
const struct msg_kind *const mailbox_kind = &user_message;

static bool has_message(const struct mailbox *m)
{
    return atomic_load_relaxed(&m->place[m->head % MAILBOX_MESSAGES].ready);
}

err_t mailbox_wait(struct thread *self, u64 deadline)
{
    if (likely(deadline == ~0ull && !atomic_load_relaxed(&self->killed))) {
        thread_block_resumable();
        return ERR_OK;
    }
    if (deadline == 0 || atomic_load_relaxed(&self->killed))
        return ERR_TIMEOUT;
    return thread_block_until(deadline) == ERR_OK || has_message(self->mailbox) ? ERR_OK : ERR_TIMEOUT;
}

/* ---- call and reply ---- */

/* Until the reply is here, or cannot come any more. `t` is called, and held. */
static err_t await_reply(struct thread *self, const struct thread *t)
{
    struct mailbox *m = self->mailbox;
    for (;;) {
        /* P3, the other side. orders: reading the reply after the state; pairs with: kernel/mailbox.c:put (release); else: see
         * there. */
        u64 call = atomic_load_acquire(&m->call);
        if ((call & CALL_STATE) == CALL_REPLIED)
            return ERR_OK;
        bool killed = atomic_load_relaxed(&self->killed);
        bool gone = atomic_load_relaxed(&t->mailbox->tail) & MAILBOX_CLOSED;
        if ((killed || gone) && (call & CALL_STATE) == CALL_WAITING) {
            if (atomic_cmpxchg(&m->call, &call, CALL_NONE))
                return killed ? ERR_TIMEOUT : ERR_ABSENT;
            continue; /* it is being replied to after all */
        }
        thread_block(); /* replying: until the reply is delivered, which takes no thread's help */
    }
}

/* The message was not sent. But the other one may reply to what it never got. */
static COLD void forget_call(struct thread *self)
{
    u64 call = atomic_load_relaxed(&self->mailbox->call);
    while ((call & CALL_STATE) != CALL_REPLIED)
        if ((call & CALL_STATE) == CALL_WAITING) {
            if (atomic_cmpxchg(&self->mailbox->call, &call, CALL_NONE))
                return;
        } else {
            thread_block();
            call = atomic_load_relaxed(&self->mailbox->call);
        }
}

err_t mailbox_call(thread_handle_t to, const struct trap_frame *f, struct user_message *reply)
{
    u32 place;
    struct thread *self = thread_self(), *t = mailbox_receiver(to);
    if (unlikely(!t))
        return ERR_ABSENT;
    if (unlikely(t == self)) {
        thread_put(t);
        return ERR_INVAL;
    }
    /* Both before the reservation, a LOCKed change of `tail`: who closes the mailbox after it sees a caller, and finds it. */
    atomic_store_relaxed(&self->mailbox->call, CALL_WORD(to, CALL_WAITING));
    atomic_fetch_add(&t->mailbox->callers, 1);
    err_t e = mailbox_reserve(t->mailbox, &place);
    if (likely(e == ERR_OK)) {
        t->mailbox->place[place].from = self->handle;
        thread_hold(t); /* the message's; ours is for the wait */
        mailbox_post(t, place, f);
        e = await_reply(self, t);
    } else {
        forget_call(self);
    }
    if (likely(e == ERR_OK)) {
        msg_words_copy(reply->word, self->mailbox->reply);
        reply->from = to;
    }
    atomic_store_relaxed(&self->mailbox->call, CALL_NONE);
    atomic_fetch_sub(&t->mailbox->callers, 1);
    thread_put(t);
    return e;
}

err_t mailbox_reply(thread_handle_t to, const struct trap_frame *f)
{
    thread_handle_t self = thread_self()->handle;
    struct thread *t = mailbox_receiver(to);
    if (unlikely(!t))
        return ERR_ABSENT;
    u64 waiting = CALL_WORD(self, CALL_WAITING);
    if (unlikely(!atomic_cmpxchg(&t->mailbox->call, &waiting, CALL_WORD(self, CALL_REPLYING)))) {
        thread_put(t);
        return ERR_ABSENT;
    }
    mailbox_post(t, REPLY_PLACE, f);
    return ERR_OK;
}

void mailbox_close(struct thread *self)
{
    atomic_fetch_or(&self->mailbox->tail, MAILBOX_CLOSED);
    if (likely(!atomic_load_relaxed(&self->mailbox->callers)))
        return;
    u64 waiting = CALL_WORD(self->handle, CALL_WAITING);
    for (u32 i = 0; i < THREAD_MAX; i++) {
        struct thread *t = mailbox_receiver(atomic_load_relaxed(&thread_at(i)->handle));
        if (!t)
            continue;
        if (atomic_load_relaxed(&t->mailbox->call) == waiting)
            thread_wake(t);
        thread_put(t);
    }
}
