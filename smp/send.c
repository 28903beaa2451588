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

/* Fills the lines of one mask word. Returns the CPUs to ring; *refused are those that got nothing. */
static ALWAYS_INLINE u64 post_word(u32 w, u64 set, const struct msg *m, u64 *refused)
{
    u64 what = (u64)m->kind + m->flags, slot_offset = this_cpu(msg_self).slot_offset;
    u64 pending_offset = msg_pending_offset(m->flags), full = 0, saved = 0;
    for (u64 todo = set; todo; todo &= todo - 1) {
        cpu_t to = w * 64 + (u32)__builtin_ctzll(todo);
        char *box = (char *)msg_inbox[to];
        struct msg_slot *s = (struct msg_slot *)(box + slot_offset);
        if (unlikely(!slot_claim(s)) && claim_slow(to) != ERR_OK) {
            full |= todo & -todo;
            continue;
        }
        slot_fill(s, what, m->word);
        counter_inc(msg_sent);
        if (unlikely(!inbox_publish((u64 *)(box + pending_offset), this_cpu(msg_self).bit))) {
            counter_inc(msg_rings_saved);
            saved |= todo & -todo;
        }
    }
    *refused = full;
    return set & ~full & ~saved;
}

/* The shorthand, if it reaches just these CPUs. One word is enough where there are at most 64. */
static ALWAYS_INLINE void ring_word(u64 ring, u32 flags)
{
    if (likely((ring | this_cpu(msg_self).bit) == msg_shorthand_set.w[0]) && likely(!(flags & MSG_NMI))) {
        msg_ring_shorthand();
    } else if (ring) {
        cpumask_t set;
        set.w[0] = ring;
        msg_ring_mask(&set, flags & MSG_NMI);
    }
}

static COLD void post_many_words(const cpumask_t *to, const struct msg *m, cpumask_t *full)
{
    cpu_t self = cpu_self();
    bool nmi = m->flags & MSG_NMI;
    cpumask_t ring = {0};
    for (u32 w = 0; w < cpumask_words; w++)
        ring.w[w] = post_word(w, to->w[w], m, &full->w[w]);
    cpumask_set(&ring, self);
    if (!nmi && cpumask_equal(&ring, &msg_shorthand_set)) {
        msg_ring_shorthand();
        return;
    }
    cpumask_unset(&ring, self);
    msg_ring_mask(&ring, nmi);
}

/* All lines first, then the rings: one ICR write can then reach all, and the receivers start together. */
void msg_post_mask(const cpumask_t *to, const struct msg *m, cpumask_t *full)
{
    ASSERT(!cpumask_test(to, cpu_self()), "a CPU does not post to itself");
    if (likely(cpumask_words == 1))
        ring_word(post_word(0, to->w[0], m, &full->w[0]), m->flags);
    else
        post_many_words(to, m, full);
}

static COLD err_t call_refused(const cpumask_t *full, const struct msg *m)
{
    err_t first = ERR_OK;
    CPUMASK_FOREACH (c, full) {
        err_t e = send_pinned(c, m);
        first = first ? first : e;
    }
    return first;
}

static COLD err_t call_many_words(const cpumask_t *to, const struct msg *m)
{
    cpu_t self = cpu_self();
    cpumask_t others = *to, full;
    cpumask_unset(&others, self);
    post_many_words(&others, m, &full);
    if (cpumask_test(to, self))
        run_here(m);
    err_t refused = call_refused(&full, m), e = msg_wait_mask(&others);
    return refused ? refused : e;
}

static ALWAYS_INLINE err_t call_one_word(u64 to, const struct msg *m)
{
    cpumask_t others, full;
    err_t refused = ERR_OK;
    others.w[0] = to & ~this_cpu(msg_self).bit;
    ring_word(post_word(0, others.w[0], m, &full.w[0]), m->flags);
    if (unlikely(others.w[0] != to))
        run_here(m);
    if (unlikely(full.w[0]))
        refused = call_refused(&full, m);
    err_t e = msg_wait_mask(&others);
    return refused ? refused : e;
}

err_t msg_call_mask(const cpumask_t *to, const struct msg *m)
{
    preempt_disable();
    err_t e = likely(cpumask_words == 1) ? call_one_word(to->w[0], m) : call_many_words(to, m);
    preempt_enable();
    return e;
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
