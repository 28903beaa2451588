/* Posting: to sets of CPUs, the bare doorbell, and what the hot path of smp/post.h leaves to others. */
#include "lib/assert.h"
#include "lib/context.h"
#include "smp/deliver.h"
#include "smp/message.h"

COUNTER(msg_line_full, "posts refused, because the line still held an earlier message");
COUNTER(msg_ran_here, "messages of a CPU to itself");

/* The hot path found the line not free: opens it if it was never used and the receiver is there, and claims it. */
static COLD err_t claim_slow(cpu_t to)
{
    if (!cpu_is_online(to) || to >= msg_cpus)
        return ERR_ABSENT;
    if (to == cpu_self())
        return ERR_INVAL;
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
    err_t e = claim_slow(to);
    if (e == ERR_OK)
        msg_post_claimed(to, msg_slot_to(to), m);
    return e;
}

/* A CPU that calls itself: no line, no interrupt, the same rules for the function. */
static COLD void run_here(const struct msg *m)
{
    struct msg_body body = {.what = slot_what(m->kind, m->flags, m->tag)};
    msg_words_copy(body.word, m->word);
    struct msg_in in = {.word = body.word, .slot = NULL, .from = cpu_self(), .acked = true};
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

struct filled {
    u64 ring, refused; /* CPUs to ring; CPUs that got nothing */
};

/* Fills the lines of CPUs w * 64 .. w * 64 + 63 that are in `set`, from the lowest of `todo` on; `published`: that one
 * has been filled already, and announced in a pending word that was not empty. */
static struct filled fill_word(u32 w, u64 set, u64 todo, bool published, const struct msg *m)
{
    struct filled f = {.ring = set, .refused = 0};
    for (; todo; todo &= todo - 1, published = false) {
        u64 bit = todo & -todo;
        cpu_t to = (cpu_t)(lowest_bit(todo) + w * 64);
        if (!published) {
            struct msg_slot *s = msg_slot_to(to);
            if (!slot_claim(s) && claim_slow(to) != ERR_OK) {
                f.refused |= bit;
                f.ring &= ~bit;
                continue;
            }
            slot_fill(s, slot_what(m->kind, m->flags, m->tag), m->word);
            counter_inc(msg_sent);
            cost_lines_turns(3, 1); /* as msg_post_claimed */
            if (inbox_publish(msg_pending_at(to, m->flags), this_cpu(msg_self).bit))
                continue;
        }
        counter_inc(msg_rings_saved);
        f.ring &= ~bit;
    }
    return f;
}

/* msg_post_word from the lowest of `todo` on. */
u64 msg_post_rest(u64 set, u64 todo, bool published, const struct msg *m)
{
    struct filled f = fill_word(0, set, todo, published, m);
    msg_ring_word(f.ring);
    return f.refused;
}

COLD void msg_post_mask_slow(const cpumask_t *to, const struct msg *m, cpumask_t *full)
{
    cpumask_t ring;
    ASSERT(!cpumask_test(to, cpu_self()), "a CPU does not post to itself");
    cpumask_clear(&ring);
    for (u32 w = 0; w < cpumask_words; w++) {
        struct filled f = fill_word(w, to->w[w], to->w[w], false, m);
        ring.w[w] = f.ring;
        full->w[w] = f.refused;
    }
    msg_ring_mask(&ring, m->flags & MSG_NMI);
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

/* A call to CPUs 0 .. 63, after all but `refused` have got their message. */
COLD err_t msg_call_rest(u64 set, u64 refused, const struct msg *m)
{
    cpumask_t to;
    to.w[0] = refused;
    err_t sent = send_each(&to, m), waited = msg_wait_word(set);
    return sent ? sent : waited;
}

COLD err_t msg_call_mask_slow(const cpumask_t *to, const struct msg *m)
{
    cpumask_t others = *to, full;
    cpumask_unset(&others, cpu_self());
    msg_post_mask_slow(&others, m, &full);
    if (cpumask_test(to, cpu_self()))
        run_here(m);
    err_t sent = send_each(&full, m), waited = msg_wait_mask(&others);
    return sent ? sent : waited;
}

/* A receiver's own bit in its own inbox has no line behind it (that line is closed for ever): it is the bare
 * doorbell's. */
void smp_doorbell(cpu_t to)
{
    ASSERT(to < msg_cpus && to != cpu_self(), "a doorbell is another CPU's");
    cost_line(); /* the pending word */
    if (inbox_publish_again(&msg_inbox[to]->pending[MSG_CLASS_FIXED].word[to / 64], 1ull << to % 64))
        msg_ring(to);
    else
        counter_inc(msg_rings_saved);
}

void smp_doorbell_mask(const cpumask_t *to)
{
    cpumask_t ring;
    ASSERT(!cpumask_test(to, cpu_self()), "a doorbell is another CPU's");
    cpumask_clear(&ring);
    cost_lines_turns(cpumask_count(to), cpumask_count(to)); /* the pending words */
    CPUMASK_FOREACH (c, to) {
        if (inbox_publish_again(&msg_inbox[c]->pending[MSG_CLASS_FIXED].word[c / 64], 1ull << c % 64))
            cpumask_set(&ring, c);
        else
            counter_inc(msg_rings_saved);
    }
    if (!cpumask_empty(&ring))
        msg_ring_mask(&ring, false);
}
