/* The receiving side: what the message interrupt and the NMI run. */
#include "apic/apic.h"
#include "lib/assert.h"
#include "lib/context.h"
#include "lib/stop_point.h"
#include "smp/message.h"

COUNTER(msg_drained, "messages run");
COUNTER(msg_interrupts, "message interrupts taken");
COUNTER(msg_spurious, "message interrupts that found no pending word set");

/* Out of line: the copy would cost the synchronous path registers, which it would have to save. */
static NOINLINE void run_copied(struct msg_inbox *box, struct msg_slot *s, cpu_t from)
{
    const struct msg_kind *kind = slot_kind((u32)s->body.what);
    struct msg_body copy;
    struct msg_in in = {.word = copy.word, .slot = s, .from = from, .acked = true};
    atomic_store_relaxed(&box->own.running, kind);
    slot_copy(s, &copy);
    slot_ack(s);
    kind->fn(&in);
}

/* A bare doorbell was rung: everybody who keeps words of his own looks at them. Only then, so that a drain of messages
 * pays nothing for them, however many there are. */
static COLD void run_hooks(struct msg_inbox *box)
{
    atomic_store_relaxed(&box->own.running, NULL);
    TABLE_FOREACH (doorbell_hook, struct doorbell_hook, h)
        h->fn();
}

/* One line. `running` is published before the acknowledgement: whoever has seen that can see what is about to run
 * (F4). */
static ALWAYS_INLINE void run_line(struct msg_inbox *box, enum msg_class class, u64 from)
{
    struct msg_slot *s = (struct msg_slot *)((char *)box->slot + from * sizeof(struct msg_slot));
    u32 what = (u32)s->body.what; /* all but the tag */
    if (unlikely(!what)) {        /* our own bit: a bare doorbell */
        run_hooks(box);
        return;
    }
    DEBUG_ASSERT(slot_posted(s) - atomic_load_relaxed(&s->acked) == 1, "a pending bit means one message");
    if (what & MSG_ASYNC) {
        run_copied(box, s, (cpu_t)from);
    } else {
        const struct msg_kind *kind = class == MSG_CLASS_NMI ? slot_kind(what) : slot_kind_unflagged(what);
        atomic_store_relaxed(&box->own.running, kind);
        struct msg_in in = {.word = s->body.word, .slot = s, .from = (cpu_t)from, .acked = false};
        kind->fn(&in);
        if (likely(!in.acked))
            slot_ack(s);
    }
    counter_inc(msg_drained);
}

/* The messages of one pending word, from CPU `first` on. Out of line for the same reason. */
static NOINLINE void run_lines(struct msg_inbox *box, enum msg_class class, u64 bits, u64 first)
{
    /* The pending word, the lines. Behind our own bit there is no line. */
    cost_lines_turns(1 + __builtin_popcountll(bits) -
                         (first == cpu_self() / 64 * 64 && bits & this_cpu(msg_self).bit),
                     __builtin_popcountll(bits));
    for (; bits; bits &= bits - 1)
        run_line(box, class, first + lowest_bit(bits));
}

static COLD bool drain_many_words(struct msg_inbox *box, enum msg_class class)
{
    bool any = false;
    if (class == MSG_CLASS_FIXED) /* no site here for NMIs, which may be none of ours */
        cost_turns(cpumask_words);
    for (u32 w = 0; w < cpumask_words; w++) {
        /* A plain look first: most words are empty, and a locked exchange takes the line for writing. A bit that comes
         * after the look came to an empty word, and its ring comes after this interrupt. */
        if (!atomic_load_relaxed(&box->pending[class].word[w]))
            continue;
        any = true;
        u64 bits = inbox_take(&box->pending[class].word[w]);
        if (class == MSG_CLASS_FIXED)
            STOP_POINT(STOP_TAKEN);
        run_lines(box, class, bits, w * 64);
    }
    return any;
}

/* Takes each pending word once. What is posted to a word after we have taken it finds it empty and rings again, so
 * there is no need to look twice, and the time spent here is bounded by one message from each CPU. */
static ALWAYS_INLINE bool drain_class(struct msg_inbox *box, enum msg_class class)
{
    if (unlikely(cpumask_words != 1))
        return drain_many_words(box, class);
    u64 bits = inbox_take(&box->pending[class].word[0]);
    if (unlikely(!bits))
        return false;
    if (class == MSG_CLASS_FIXED) /* a constant */
        STOP_POINT(STOP_TAKEN);
    if (likely(!(bits & (bits - 1)))) { /* one sender, as most often: no loop */
        /* The pending word, and the line, if it is not our own bit. No site before this: an NMI may be no message. */
        cost_lines_turns(1 + (bits != this_cpu(msg_self).bit), 1);
        run_line(box, class, lowest_bit(bits));
    } else
        run_lines(box, class, bits, 0);
    return true;
}

/* The EOI comes last. No ring is lost by that: while our interrupt is in service, the APIC keeps one more of the same
 * vector pending (SDM volume 3A, section 11.8.4: IRR beside ISR), and raises it after the EOI and IRET; two rings that
 * merge there are one drain later, which takes all words. Coming first it would be just as safe, since interrupts are
 * off until IRET, but it would stand between the sender and its acknowledgement. */
void msg_drain(void)
{
    struct msg_inbox *box = this_cpu(msg_self).inbox;
    STOP_POINT(STOP_ENTERED);
    if (unlikely(!drain_class(box, MSG_CLASS_FIXED)))
        counter_inc(msg_spurious);
    box = this_cpu(msg_self)
              .inbox; /* read again rather than kept in a register, which would have to be saved */
    atomic_store_relaxed(&box->own.running, NULL);
    STOP_POINT(STOP_DRAINED);
    apic_eoi();
    counter_inc(msg_interrupts); /* the watchdog tells by it whether this CPU has moved */
}

/* May interrupt msg_drain, or a sender anywhere: touches only its own class's words, and puts `running` back. */
bool msg_drain_nmi(void)
{
    if (unlikely(!msg_cpus))
        return false;
    struct msg_inbox *box = this_cpu(msg_self).inbox;
    const void *interrupted = atomic_load_relaxed(&box->own.running);
    bool any = drain_class(box, MSG_CLASS_NMI);
    atomic_store_relaxed(&box->own.running, interrupted);
    return any;
}
