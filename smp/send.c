/* Posting: to sets of CPUs, the bare doorbell, and what the hot path of smp/post.h leaves to others. */
#include "lib/assert.h"
#include "lib/context.h"
#include "smp/deliver.h"
#include "smp/message.h"

COUNTER(msg_line_full, "posts refused, because the line still held an earlier message");
COUNTER(msg_ran_here, "messages of a CPU to itself");

/* The hot path found the line not free: opens it if it was never used and the receiver is there, and claims it. */
COLD err_t msg_claim_slow(cpu_t to)
{
    if (!cpu_is_online(to) || to >= msg_cpus)
        return ERR_ABSENT;
    struct msg_slot *s = msg_slot_to(to);
    slot_open(s);
    if (slot_claim(s))
        return ERR_OK;
    counter_inc(msg_line_full);
    return ERR_FULL;
}

COLD err_t msg_post_slow(cpu_t to, const struct msg *m)
{
    ASSERT(to != cpu_self(), "a CPU does not post to itself");
    err_t e = msg_claim_slow(to);
    if (e == ERR_OK)
        msg_post_claimed(to, msg_slot_to(to), m);
    return e;
}

/* A CPU that calls itself: no line, no interrupt, the same rules for the function. */
static COLD void run_here(const struct msg *m)
{
    struct msg_in in = {.word = m->word, .slot = NULL, .from = cpu_self(), .acked = true};
    bool was_on = irq_save();
    counter_inc(msg_ran_here);
    m->kind->fn(&in);
    irq_restore(was_on);
}

/* Preemption off: `self` stays true, and the line waited for is the one posted to. */
static COLD err_t send_pinned(cpu_t to, const struct msg *m)
{
    if (to == cpu_self()) {
        run_here(m);
        return ERR_OK;
    }
    for (;;) {
        err_t e = msg_post_slow(to, m);
        if (e != ERR_FULL)
            return e;
        e = msg_wait(to);
        if (e != ERR_OK)
            return e;
        /* Free now, unless a handler of this CPU takes it first: then that message is waited for. */
    }
}

COLD err_t msg_send_slow(cpu_t to, const struct msg *m)
{
    preempt_disable();
    err_t e = send_pinned(to, m);
    preempt_enable();
    return e;
}

COLD err_t msg_call_slow(cpu_t to, const struct msg *m)
{
    err_t e = send_pinned(to, m);
    return e == ERR_OK && to != cpu_self() ? msg_wait(to) : e;
}

COLD void msg_post_mask_slow(const cpumask_t *to, const struct msg *m, cpumask_t *full)
{
    cpu_t self = cpu_self();
    bool nmi = m->flags & MSG_NMI;
    cpumask_t ring;
    ASSERT(!cpumask_test(to, self), "a CPU does not post to itself");
    cpumask_clear(&ring);
    for (u32 w = 0; w < cpumask_words; w++)
        ring.w[w] = msg_fill_word(w, to->w[w], m, &full->w[w]);
    cpumask_set(&ring, self);
    if (!nmi && cpumask_equal(&ring, &msg_shorthand_set)) {
        msg_ring_shorthand();
        return;
    }
    cpumask_unset(&ring, self);
    msg_ring_mask(&ring, nmi);
}

static COLD err_t send_each(const cpumask_t *to, const struct msg *m)
{
    err_t first = ERR_OK;
    CPUMASK_FOREACH (c, to) {
        err_t e = send_pinned(c, m);
        first = first ? first : e;
    }
    return first;
}

COLD err_t msg_send_each(u64 set, const struct msg *m)
{
    cpumask_t to;
    to.w[0] = set;
    return send_each(&to, m);
}

COLD err_t msg_call_mask_slow(const cpumask_t *to, const struct msg *m)
{
    cpumask_t others = *to, full;
    cpumask_unset(&others, cpu_self());
    msg_post_mask_slow(&others, m, &full);
    if (cpumask_test(to, cpu_self()))
        run_here(m);
    err_t refused = send_each(&full, m), e = msg_wait_mask(&others);
    return refused ? refused : e;
}

/* A receiver's own bit in its own inbox has no line behind it (that line is closed for ever): it is the bare doorbell's. */
void smp_doorbell(cpu_t to)
{
    ASSERT(to < msg_cpus && to != cpu_self(), "a doorbell is another CPU's");
    if (inbox_publish_again(&msg_inbox[to]->pending[MSG_CLASS_FIXED].word[to / 64], 1ull << to % 64))
        msg_ring(to);
    else
        counter_inc(msg_rings_saved);
}
