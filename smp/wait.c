/* Waiting for acknowledgements, and what happens when one does not come. */
#include "lib/wait.h"
#include "lib/assert.h"
#include "lib/context.h"
#include "lib/log.h"
#include "lib/param.h"
#include "lib/string.h"
#include "smp/message.h"
#include "smp/watchdog.h"

COUNTER(msg_watchdog_reports, "messages that the watchdog reported as not acknowledged");
COUNTER(msg_rings_again, "doorbells that the watchdog rang again");

/* On hardware a CPU that keeps interrupts off for a second is broken; 5 s give a second ring and a slow console time to
 * work. wait_scale stretches all three under emulators. */
struct msg_watchdog msg_watchdog = {.report_ms = 1000, .retry_ms = 2000, .give_up_ms = 5000};
void (*msg_stuck_hook)(cpu_t stuck);

/* What the watchdog does when a CPU is late. */
static enum { WATCHDOG_RESEND, WATCHDOG_REPORT, WATCHDOG_PANIC } manner;

static const char *set_watchdog(const char *value)
{
    static const char *const names[] = {"resend", "report", "panic"};
    for (u32 i = 0; i < ARRAY_SIZE(names); i++)
        if (strcmp(value, names[i]) == 0) {
            manner = i;
            return NULL;
        }
    return "report, resend or panic";
}
PARAM(watchdog, "watchdog",
      "watchdog=report|resend|panic  what happens when a CPU does not answer: a report, which is always "
      "made, and a second "
      "interrupt (the default), or a panic",
      set_watchdog);

/* What a CPU waits for another to do: acknowledge a message in its line, or serve a word after a bare doorbell. */
struct awaited {
    const struct msg_slot *slot; /* NULL: a word */
    bool (*done)(const void *arg);
    const void *arg;
    const char *name; /* of the message's kind, or of what the word asks for */
    u32 posted, flags;
};

DECLARE_PERCPU(u64, counter_msg_interrupts);

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
 * lost, or that CPU has interrupts off. A bare doorbell's bit is the receiver's own. */
static bool is_taken(cpu_t to, const struct awaited *a)
{
    if (a->slot)
        return !(atomic_load_relaxed(msg_pending_at(to, a->flags)) & this_cpu(msg_self).bit);
    return !(atomic_load_relaxed(&msg_inbox[to]->pending[MSG_CLASS_FIXED].word[to / 64]) & 1ull << to % 64);
}

static COLD void report(cpu_t to, const struct awaited *a, const struct msg_watch *w)
{
    counter_inc(msg_watchdog_reports);
    log_error("message watchdog: CPU %u (APIC id %u) has not %s '%s' from CPU %u for %llu ms", to,
              cpu_apic_id(to), a->slot ? "acknowledged" : "served", a->name, cpu_self(),
              (unsigned long long)waited_ms(w));
    log_error("message watchdog: CPU %u %s; it runs %s", to,
              is_taken(to, a) ? "has taken the message from its inbox"
                              : "has not looked into its inbox (interrupts off, or a lost interrupt)",
              kind_name(msg_current(to)));
    u64 now = atomic_load_relaxed(&per_cpu(counter_msg_interrupts, to)) + 1;
    if (atomic_xchg(&shown_at[to], now) != now && msg_stuck_hook)
        msg_stuck_hook(to);
    if (manner == WATCHDOG_PANIC)
        panic("watchdog=panic: CPU %u (APIC id %u) has not answered '%s' for %llu ms", to, cpu_apic_id(to),
              a->name, (unsigned long long)waited_ms(w));
}

static COLD void ring_again(cpu_t to, const struct awaited *a, const struct msg_watch *w)
{
    if (manner != WATCHDOG_RESEND)
        return;
    counter_inc(msg_rings_again);
    log_warn("message watchdog: ringing CPU %u again after %llu ms", to, (unsigned long long)waited_ms(w));
    if (a->flags & MSG_NMI)
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
             (unsigned long long)waited_ms(w),
             w->stage == MSG_WATCH_RANG_AGAIN && manner == WATCHDOG_RESEND ? " and a second ring" : "");
    return ERR_OK;
}

static bool spin_for_awaited(const struct awaited *a)
{
    if (a->slot)
        return spin_for(&a->slot->acked, a->posted, TURNS_PER_LOOK);
    for (u32 turns = TURNS_PER_LOOK; turns; turns--) {
        if (a->done(a->arg))
            return true;
        cpu_pause();
    }
    return false;
}

static COLD err_t wait_watched(cpu_t to, const struct awaited *a)
{
    struct msg_watch watch =
        msg_watch_begin(rdtsc(), wait_ms(msg_watchdog.report_ms), wait_ms(msg_watchdog.retry_ms),
                        wait_ms(msg_watchdog.give_up_ms));
    for (;;) {
        if (spin_for_awaited(a))
            return watch.stage == MSG_WATCH_QUIET ? ERR_OK : answered_late(to, &watch);
        switch (msg_watch_step(&watch, rdtsc())) {
        case MSG_WATCH_WAIT:
            break;
        case MSG_WATCH_REPORT:
            report(to, a, &watch);
            break;
        case MSG_WATCH_RING:
            ring_again(to, a, &watch);
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

COLD err_t smp_wait_served(cpu_t to, const char *name, bool (*done)(const void *arg), const void *arg)
{
    struct awaited a = {.done = done, .arg = arg, .name = name};
    ASSERT_MAY_WAIT();
    return wait_watched(to, &a);
}

static COLD err_t wait_for_slot(cpu_t to, const struct msg_slot *s, u32 posted)
{
    const struct msg_kind *kind = slot_kind((u32)s->body.what);
    struct awaited a = {
        .slot = s, .posted = posted, .flags = (u32)s->body.what & SLOT_FLAGS_MASK, .name = kind_name(kind)};
    return wait_watched(to, &a);
}

/* The slow rest of a wait, from CPU `to` on: kept apart, so that a wait that ends soon saves no registers. */
static COLD err_t wait_for_line(cpu_t to)
{
    const struct msg_slot *s = msg_slot_to(to);
    u32 posted = slot_posted(s);
    err_t e = spin_for(&s->acked, posted, TURNS_PER_LOOK) ? ERR_OK : wait_for_slot(to, s, posted);
    cost_lines_turns(1, 1);
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
    cost_lines_turns(1, 1); /* the receiver acknowledged in it */
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
    cost_lines_turns(__builtin_popcountll(set),
                     __builtin_popcountll(set)); /* the receivers acknowledged in them */
    return ERR_OK;
}

err_t msg_wait_mask(const cpumask_t *to)
{
    if (likely(cpumask_words == 1))
        return msg_wait_word(to->w[0]);
    assert_may_wait();
    return wait_for_lines(to);
}
