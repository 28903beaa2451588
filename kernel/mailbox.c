/* A mailbox is a ring of places, taken in the order of reservations (kernel/mail_door.h).
 *
 *   sender                                           the CPU where the receiver is        receiver
 *   takes a place
 *   six words and the place into the line ---------> copies them to the place, ready      takes the oldest if it is ready
 *                                                    and wakes                            gives the place back
 *
 * A place is its sender's from the reservation until `ready` is set, so that two CPUs may deliver at once (the receiver can have moved
 * between two messages), and messages of one sender arrive in order whichever way they took. What was reserved is delivered: if the line
 * fails, straight into the mailbox. A receiver that waits where the message arrives, and for no other one, gets the words into its
 * registers, and its CPU goes on with it behind the drain.
 *
 * A call is a message, and a word of the caller's own mailbox that says whom it waits for. The reply is not put into the ring, so there is
 * always room for it: whoever turns the word from waiting to replying, once, delivers it. */
#include "kernel/mailbox_fast.h"
#include "kernel/syscall.h"
#include "kernel/thread_internal.h"
#include "lib/context.h"

COUNTER(mail_sent, "messages sent between threads of ring 3");
COUNTER(mail_local, "of these, to a thread of the same CPU");
COUNTER(mail_refused, "messages refused, because the mailbox was full");

static void deliver_message(struct msg_in *in);
MSG_KIND(user_message, deliver_message);

void mailbox_init(struct thread *t, void *memory)
{
    t->mail_what = slot_what(&user_message, MSG_OWN_ACK, t->index);
    atomic_store_relaxed(&t->mailbox, (struct mailbox *)memory); /* all zeros is empty */
    mail_open(&t->mail, t->handle);
}

/* Any CPU, any context but NMI: the place is ours, and wakes whoever waits for it. */
static ALWAYS_INLINE void put(struct thread *t, u32 place, const u64 *word)
{
    struct mailbox *m = t->mailbox;
    if (likely(place < MAILBOX_MESSAGES)) {
        /* Until the place is ready the thread cannot end; from then on it can, before it has been woken. A reply's descriptor is held
         * already. */
        thread_hold(t);
        mail_put(&m->place[place], word);
    } else {
        msg_words_copy(m->reply, word);
        /* P1. orders: the reply before the state that says so; pairs with: kernel/mailbox.c:await_reply (acquire); else: the caller
         * could read an older one. */
        atomic_store_release(&m->call, (m->call & ~CALL_STATE) | CALL_REPLIED);
    }
}

/* ---- the way there ---- */

static ALWAYS_INLINE void deliver_here(struct thread *t, u32 place, const struct trap_frame *f)
{
    const u64 word[MSG_WORDS] = {f->rsi, f->rdx, f->r10, f->r8, f->r9, f->r12};
    counter_inc(mail_local);
    put(t, place, word);
    thread_wake(t);
    thread_put(t);
}

/* The line was still busy. If it fails, the message goes straight into the mailbox. */
static COLD void post_when_free(struct thread *t, u32 place, cpu_t cpu, const struct trap_frame *f)
{
    struct msg m = {.kind = &user_message,
                    .flags = MSG_OWN_ACK,
                    .tag = t->index | place << MAILBOX_TAG_PLACE,
                    .word = {f->rsi, f->rdx, f->r10, f->r8, f->r9, f->r12}};
    if (msg_send_slow(cpu, &m) != ERR_OK)
        deliver_here(t, place, f);
}

void mailbox_post_slow(struct thread *t, u32 place, const struct trap_frame *f)
{
    cpu_t cpu = atomic_load_relaxed(&t->cpu);
    if (likely(cpu == cpu_self()))
        deliver_here(t, place, f);
    else
        post_when_free(t, place, cpu, f);
}

COLD s64 mailbox_refused(err_t e)
{
    if (e == ERR_FULL)
        counter_inc(mail_refused);
    return syscall_error(e);
}

/* To the thread in whose context this CPU idles, in SYS_RECEIVE, which waits for this very message: into its registers, as
 * kernel/syscall_message.c:give_message does, and on with it behind this drain. */
static ALWAYS_INLINE bool give_directly(struct msg_in *in)
{
    const struct msg_body *body = container_of(in->word, const struct msg_body, word);
    if (unlikely((u32)(body->what >> 32) != this_cpu(thread_awaited.what)))
        return false;
    struct trap_frame *f = thread_resume();
    f->rax = 0;
    f->rdi = *this_cpu(thread_awaited.from);
    f->rsi = body->word[0];
    f->rdx = body->word[1];
    f->r10 = body->word[2];
    f->r8 = body->word[3];
    f->r9 = body->word[4];
    f->r12 = body->word[5];
    msg_ack_first(in);
    mail_give_back(&thread_self()->mail);
    return true;
}

static NOINLINE void deliver_to_place(struct msg_in *in)
{
    u32 tag = msg_tag(in);
    struct thread *t = thread_at(tag % (1u << MAILBOX_TAG_PLACE));
    put(t, tag >> MAILBOX_TAG_PLACE, in->word);
    msg_ack(in);
    thread_wake_irqoff(t);
    thread_put(t);
}

/* In place, in the line. It is free again before the receiver wakes, so that its answer finds it so. */
static void deliver_message(struct msg_in *in)
{
    if (unlikely(!give_directly(in)))
        deliver_to_place(in);
}

static struct mail_place *next_place(struct thread *self)
{
    return &self->mailbox->place[mail_next(&self->mail)];
}

err_t mailbox_wait(struct thread *self, u64 deadline)
{
    if (likely(deadline == ~0ull && !atomic_load_relaxed(&self->killed))) {
        const struct mail_place *p = next_place(self);
        u64 what = self->mail_what ^ (u64)mail_next(&self->mail) << MAILBOX_WHAT_PLACE;
        thread_block_for((u32)(what >> 32), &p->from);
        return ERR_OK;
    }
    if (deadline == 0 || thread_is_killed(self))
        return ERR_TIMEOUT;
    return thread_block_until(deadline) == ERR_OK || mail_is_ready(next_place(self)) ? ERR_OK : ERR_TIMEOUT;
}

/* ---- call and reply ---- */

/* Until the reply is here, or cannot come any more. `t` is called, and held. */
static err_t await_reply(struct thread *self, const struct thread *t)
{
    struct mailbox *m = self->mailbox;
    for (;;) {
        /* P1, the other side. orders: reading the reply after the state; pairs with: kernel/mailbox.c:put (release); else: see
         * there. */
        u64 call = atomic_load_acquire(&m->call);
        if ((call & CALL_STATE) == CALL_REPLIED)
            return ERR_OK;
        bool killed = thread_is_killed(self);
        bool gone = !mail_is_open(&t->mail, (thread_handle_t)(call >> 2));
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

/* A thread of ring 3, held; NULL: there is none. */
static struct thread *hold_receiver(thread_handle_t to)
{
    struct thread *t = thread_get(to);
    if (unlikely(!t))
        return NULL;
    if (likely(atomic_load_relaxed(&t->mailbox) != NULL))
        return t;
    thread_put(t);
    return NULL;
}

err_t mailbox_call(thread_handle_t to, const struct trap_frame *f, struct user_message *reply)
{
    u32 place;
    struct thread *self = thread_self(), *t = hold_receiver(to);
    if (unlikely(!t))
        return ERR_ABSENT;
    if (unlikely(t == self)) {
        thread_put(t);
        return ERR_INVAL;
    }
    /* Both before the reservation, a LOCKed change of the door: who shuts it after that sees a caller, and finds it. */
    atomic_store_relaxed(&self->mailbox->call, CALL_WORD(to, CALL_WAITING));
    atomic_fetch_add(&t->mailbox->callers, 1);
    err_t e = mail_reserve(&t->mail, to, &place);
    if (likely(e == ERR_OK)) {
        t->mailbox->place[place].from = self->handle;
        mailbox_post(t, place, f->rsi, f->rdx, f);
        e = await_reply(self, t);
    } else {
        if (e == ERR_FULL)
            counter_inc(mail_refused);
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
    struct thread *t = hold_receiver(to);
    if (unlikely(!t))
        return ERR_ABSENT;
    u64 waiting = CALL_WORD(self, CALL_WAITING);
    if (unlikely(!atomic_cmpxchg(&t->mailbox->call, &waiting, CALL_WORD(self, CALL_REPLYING)))) {
        thread_put(t);
        return ERR_ABSENT;
    }
    mailbox_post(t, REPLY_PLACE, f->rsi, f->rdx, f);
    return ERR_OK;
}

static void wake_callers(const struct thread *self)
{
    u64 waiting = CALL_WORD(self->handle, CALL_WAITING);
    for (u32 i = 0; i < THREAD_MAX; i++) {
        struct thread *t = hold_receiver(atomic_load_relaxed(&thread_at(i)->handle));
        if (!t)
            continue;
        if (atomic_load_relaxed(&t->mailbox->call) == waiting)
            thread_wake(t);
        thread_put(t);
    }
}

void mailbox_close(struct thread *self)
{
    u32 reserved = mail_shut(&self->mail, self->index);
    if (unlikely(atomic_load_relaxed(&self->mailbox->callers)))
        wake_callers(self);
    /* Every delivery wakes us. */
    for (u32 n = self->mail.limit - MAILBOX_MESSAGES; n != reserved; n++)
        while (!mail_is_ready(&self->mailbox->place[n % MAILBOX_MESSAGES]))
            thread_block();
}
