/* Waiting for acknowledgements, and what happens when one does not come. */
#include "lib/wait.h"
#include "lib/assert.h"
#include "lib/context.h"
#include "lib/log.h"
#include "smp/message.h"
#include "smp/watchdog.h"

COUNTER(msg_watchdog_reports, "messages that the watchdog reported as not acknowledged");
COUNTER(msg_rings_again, "doorbells that the watchdog rang again");

/* On hardware a CPU that keeps interrupts off for a second is broken; 5 s give a second ring and a slow console time to
 * work. wait_scale stretches all three under emulators. */
struct msg_watchdog msg_watchdog = {.report_ms = 1000, .retry_ms = 2000, .give_up_ms = 5000};
void (*msg_stuck_hook)(cpu_t stuck);

/* Drains that a CPU had finished, plus 1, when the hook was last called for it: senders that wait for the same stuck
 * CPU make one backtrace, and a CPU that has moved since and is stuck again gets another. */
static u64 shown_at[MAX_CPUS];

static u64 waited_ms(const struct msg_watch *w)
{
    return tsc_to_ns(w->waited) / 1000000;
}

static const char *kind_name(const struct msg_kind *k)
{
    return k ? k->name : "no message";
}

/* Taken: the drain has seen our bit, so the function runs, or one that is before it. Not taken: the interrupt was
 * lost, or that CPU has interrupts off. */
static bool is_taken(cpu_t to, u32 flags)
{
    return !(atomic_load_relaxed(msg_pending_at(to, flags)) & this_cpu(msg_self).bit);
}

static COLD void report(cpu_t to, const struct msg_slot *s, const struct msg_watch *w)
{
    const struct msg_kind *kind = slot_kind((u32)s->body.what);
    counter_inc(msg_watchdog_reports);
    log_error("message watchdog: CPU %u (APIC id %u) has not acknowledged '%s' from CPU %u for %llu ms", to,
              cpu_apic_id(to), kind_name(kind), cpu_self(), (unsigned long long)waited_ms(w));
    log_error("message watchdog: CPU %u %s; it runs %s", to,
              is_taken(to, (u32)s->body.what)
                  ? "has taken the message from its inbox"
                  : "has not looked into its inbox (interrupts off, or a lost interrupt)",
              kind_name(msg_current(to)));
    u64 now = atomic_load_relaxed(&msg_inbox[to]->own.drains) + 1;
    if (atomic_xchg(&shown_at[to], now) != now && msg_stuck_hook)
        msg_stuck_hook(to);
}

static COLD void ring_again(cpu_t to, const struct msg_slot *s, const struct msg_watch *w)
{
    counter_inc(msg_rings_again);
    log_warn("message watchdog: ringing CPU %u again after %llu ms", to, (unsigned long long)waited_ms(w));
    if (s->body.what & MSG_NMI)
        msg_ring_nmi(to);
    else
        msg_ring(to);
}

/* The one loop. Counted in turns, not in time, so that a clock which stands still or goes back cannot keep the
 * watchdog from looking; wait_watched adds the name and the limit that lib/wait.h gives to other waits. */
static ALWAYS_INLINE bool spin_for(const u32 *acked, u32 posted, u32 turns)
{
    if (likely(slot_number_done(acked, posted)))
        return true;
    do {
        cpu_pause();
        if (slot_number_done(acked, posted))
            return true;
    } while (--turns);
    return false;
}

/* Turns between two looks at the clock: a few microseconds on hardware. An answer that takes longer than the first such
 * stretch is worth setting up the watchdog. */
#define TURNS_PER_LOOK WAIT_SPINS_PER_LOOK

static COLD err_t answered_late(cpu_t to, const struct msg_watch *w)
{
    log_warn("message watchdog: CPU %u has acknowledged after %llu ms%s", to,
             (unsigned long long)waited_ms(w), w->stage == MSG_WATCH_RANG_AGAIN ? " and a second ring" : "");
    return ERR_OK;
}

static COLD err_t wait_watched(cpu_t to, const struct msg_slot *s, u32 posted)
{
    struct msg_watch watch =
        msg_watch_begin(rdtsc(), wait_ms(msg_watchdog.report_ms), wait_ms(msg_watchdog.retry_ms),
                        wait_ms(msg_watchdog.give_up_ms));
    for (;;) {
        if (spin_for(&s->acked, posted, TURNS_PER_LOOK))
            return watch.stage == MSG_WATCH_QUIET ? ERR_OK : answered_late(to, &watch);
        switch (msg_watch_step(&watch, rdtsc())) {
        case MSG_WATCH_WAIT:
            break;
        case MSG_WATCH_REPORT:
            report(to, s, &watch);
            break;
        case MSG_WATCH_RING:
            ring_again(to, s, &watch);
            break;
        case MSG_WATCH_CLOCK:
            log_warn("message watchdog: the clock of CPU %u went backwards: the wait for CPU %u starts over",
                     cpu_self(), to);
            break;
        case MSG_WATCH_GIVE_UP:
            log_error("message watchdog: giving up on CPU %u after %llu ms", to,
                      (unsigned long long)waited_ms(&watch));
            return ERR_TIMEOUT;
        }
    }
}

/* The slow rest of a wait, from CPU `to` on: kept apart, so that a wait that ends soon saves no registers. */
static COLD err_t wait_for_line(cpu_t to)
{
    const struct msg_slot *s = msg_slot_to(to);
    u32 posted = slot_posted(s);
    err_t e = spin_for(&s->acked, posted, TURNS_PER_LOOK) ? ERR_OK : wait_watched(to, s, posted);
    cost_line();
    return e;
}

static COLD err_t wait_for_lines(const cpumask_t *to)
{
    err_t first = ERR_OK;
    CPUMASK_FOREACH (c, to) {
        err_t e = wait_for_line(c);
        first = first ? first : e;
    }
    return first;
}

static COLD err_t wait_for_word(u64 set)
{
    cpumask_t to;
    cpumask_clear(&to);
    to.w[0] = set;
    return wait_for_lines(&to);
}

static ALWAYS_INLINE void assert_may_wait(void)
{
    ASSERT_MAY_WAIT();
#ifndef VOLLEY_HOST
    DEBUG_ASSERT(this_cpu(percpu_head.preempt_depth), "the line waited for is the one that was posted to");
#endif
}

err_t msg_wait(cpu_t to)
{
    assert_may_wait();
    if (unlikely(to >= msg_cpus))
        return ERR_ABSENT;
    const struct msg_slot *s = msg_slot_to(to);
    if (unlikely(!spin_for(&s->acked, slot_posted(s), TURNS_PER_LOOK)))
        return wait_for_line(to);
    cost_line(); /* the receiver acknowledged in it */
    return ERR_OK;
}

/* First notes what is to be waited for, while the others work; then there is little to do between the last
 * acknowledgement and the return. */
err_t msg_wait_word(u64 set)
{
    struct {
        const u32 *acked;
        u32 posted;
    } open[64], *end = open;
    assert_may_wait();
    u64 acked_offset = this_cpu(msg_self).slot_offset + offsetof(struct msg_slot, acked);
    for (u64 todo = set; todo; todo &= todo - 1, end++) {
        end->acked = (const u32 *)((char *)msg_inbox[lowest_bit(todo)] + acked_offset);
        end->posted = slot_posted(container_of(end->acked, struct msg_slot, acked));
    }
    while (end != open) {
        end--;
        if (unlikely(!spin_for(end->acked, end->posted, TURNS_PER_LOOK)))
            return wait_for_word(set);
    }
    cost_lines(__builtin_popcountll(set)); /* the receivers acknowledged in them */
    return ERR_OK;
}

err_t msg_wait_mask(const cpumask_t *to)
{
    if (likely(cpumask_words == 1))
        return msg_wait_word(to->w[0]);
    assert_may_wait();
    return wait_for_lines(to);
}
