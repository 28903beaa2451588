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
#include "kernel/mailbox.h"

#include "lib/atomic.h"
#include "lib/context.h"
#include "lib/counter.h"
#include "smp/message.h"

COUNTER(mail_sent, "messages sent between threads of ring 3");
COUNTER(mail_local, "of these, to a thread of the same CPU");
COUNTER(mail_refused, "messages refused, because the mailbox was full");

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

struct mailbox *mailbox_init(void *memory)
{
    return memory; /* all zeros is empty */
}

/* ---- places ---- */

static ALWAYS_INLINE err_t reserve(struct mailbox *m, u32 *place)
{
    u32 tail = atomic_load_relaxed(&m->tail);
    do {
        if (unlikely(tail & MAILBOX_CLOSED))
            return ERR_ABSENT;
        /* P1. orders: our stores to the place after the receiver's last read of it; pairs with: kernel/mailbox.c:take (release);
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
static ALWAYS_INLINE bool take(struct mailbox *m, struct user_message *out)
{
    u32 head = m->head, i = head % MAILBOX_MESSAGES;
    /* P2. orders: the message after its being ready; pairs with: kernel/mailbox.c:put (release); else: we could read what is still
     * being written. */
    if (!atomic_load_acquire(&m->place[i].ready))
        return false;
    msg_words_copy(out->word, m->place[i].word);
    out->from = m->place[i].from;
    atomic_store_relaxed(&m->place[i].ready, 0);
    /* P1, the other side. orders: our reads of the place before its being free; pairs with: kernel/mailbox.c:reserve (acquire);
     * else: see there. */
    atomic_store_release(&m->head, (head + 1) & ~MAILBOX_CLOSED);
    return true;
}

/* Any CPU, any context but NMI: the place is ours. */
static ALWAYS_INLINE void put(struct mailbox *m, u32 place, const u64 *word)
{
    if (likely(place < MAILBOX_MESSAGES)) {
        msg_words_copy(m->place[place].word, word);
        /* P2, the other side. orders: the message before its being ready; pairs with: kernel/mailbox.c:take (acquire); else: see
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

static ALWAYS_INLINE void deliver(struct thread *t, u32 place, const u64 *word)
{
    put(t->mailbox, place, word);
    thread_wake(t);
    thread_put(t);
}

/* The tag: the receiver's index, and the place. */
#define TAG_PLACE 16u
static void deliver_message(struct msg_in *in)
{
    u32 tag = msg_tag(in);
    deliver(thread_at(tag % (1u << TAG_PLACE)), tag >> TAG_PLACE, in->word);
}
MSG_KIND(user_message, deliver_message);

/* The place is reserved, the descriptor held; both go with the message. */
static ALWAYS_INLINE void post(struct thread *t, u32 place, const u64 word[MSG_WORDS])
{
    cpu_t cpu = atomic_load_relaxed(&t->cpu);
    counter_inc(mail_sent);
    if (likely(cpu != cpu_self())) {
        struct msg m = {.kind = &user_message, .flags = MSG_ASYNC, .tag = t->index | place << TAG_PLACE};
        msg_words_copy(m.word, word);
        if (likely(msg_send(cpu, &m) == ERR_OK))
            return;
    } else {
        counter_inc(mail_local);
    }
    deliver(t, place, word);
}

/* A thread of ring 3, held; NULL: there is none. */
static ALWAYS_INLINE struct thread *receiver(thread_handle_t to)
{
    struct thread *t = thread_get(to);
    if (unlikely(!t))
        return NULL;
    if (likely(atomic_load_relaxed(&t->mailbox) != NULL))
        return t;
    thread_put(t);
    return NULL;
}

err_t mailbox_send(thread_handle_t to, const u64 word[MSG_WORDS])
{
    u32 place;
    struct thread *t = receiver(to);
    if (unlikely(!t))
        return ERR_ABSENT;
    err_t e = reserve(t->mailbox, &place);
    if (unlikely(e != ERR_OK)) {
        thread_put(t);
        return e;
    }
    t->mailbox->place[place].from = thread_self()->handle;
    post(t, place, word);
    return ERR_OK;
}

err_t mailbox_receive(struct user_message *out, u64 deadline)
{
    struct thread *self = thread_self();
    while (!take(self->mailbox, out)) {
        if (deadline == 0 || unlikely(atomic_load_relaxed(&self->killed)))
            return ERR_TIMEOUT;
        if (likely(deadline == ~0ull))
            thread_block();
        else if (thread_block_until(deadline) == ERR_TIMEOUT)
            return take(self->mailbox, out) ? ERR_OK : ERR_TIMEOUT;
    }
    return ERR_OK;
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

err_t mailbox_call(thread_handle_t to, const u64 word[MSG_WORDS], struct user_message *reply)
{
    u32 place;
    struct thread *self = thread_self(), *t = receiver(to);
    if (unlikely(!t))
        return ERR_ABSENT;
    if (unlikely(t == self)) {
        thread_put(t);
        return ERR_INVAL;
    }
    /* Both before the reservation, a LOCKed change of `tail`: who closes the mailbox after it sees a caller, and finds it. */
    atomic_store_relaxed(&self->mailbox->call, CALL_WORD(to, CALL_WAITING));
    atomic_fetch_add(&t->mailbox->callers, 1);
    err_t e = reserve(t->mailbox, &place);
    if (likely(e == ERR_OK)) {
        t->mailbox->place[place].from = self->handle;
        thread_hold(t); /* the message's; ours is for the wait */
        post(t, place, word);
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

err_t mailbox_reply(thread_handle_t to, const u64 word[MSG_WORDS])
{
    thread_handle_t self = thread_self()->handle;
    struct thread *t = receiver(to);
    if (unlikely(!t))
        return ERR_ABSENT;
    u64 waiting = CALL_WORD(self, CALL_WAITING);
    if (unlikely(!atomic_cmpxchg(&t->mailbox->call, &waiting, CALL_WORD(self, CALL_REPLYING)))) {
        thread_put(t);
        return ERR_ABSENT;
    }
    post(t, REPLY_PLACE, word);
    return ERR_OK;
}

void mailbox_close(struct thread *self)
{
    atomic_fetch_or(&self->mailbox->tail, MAILBOX_CLOSED);
    if (likely(!atomic_load_relaxed(&self->mailbox->callers)))
        return;
    u64 waiting = CALL_WORD(self->handle, CALL_WAITING);
    for (u32 i = 0; i < THREAD_MAX; i++) {
        struct thread *t = receiver(atomic_load_relaxed(&thread_at(i)->handle));
        if (!t)
            continue;
        if (atomic_load_relaxed(&t->mailbox->call) == waiting)
            thread_wake(t);
        thread_put(t);
    }
}
