/* One cell of the shootdown benchmark: measured, checked, and recorded. */
#include "bench/shootdown_cell.h"

#include "apic/apic.h"
#include "bench/counts.h"
#include "bench/effort.h"
#include "kernel/patch.h"
#include "kernel/trap.h"
#include "lib/atomic.h"
#include "lib/counter.h"
#include "lib/log.h"
#include "lib/patch.h"
#include "lib/string.h"
#include "lib/wait.h"

#define PHASE_SAMPLES  32u
#define PHASE_ROUNDS   4u     /* at least, however long they take */
#define PHASE_US       20000u /* then no more rounds after this time */
#define STAMP_LIMIT_MS 5000u  /* hang detector */

/* Interrupts and commands are those of the cell's operations, whatever is recorded of it. */
static void record(const struct shootdown_cell *c, const char *metric, struct samples *s)
{
    struct bench_key k = {.bench = c->bench,
                          .policy = c->policy->name,
                          .served_by = c->served_by->name,
                          .op = c->op,
                          .responders = responder_kind_name(c->responders->kind),
                          .initiator = c->responders->outside ? "outside" : NULL,
                          .fanout = strcmp(c->served_by->name, "tree") == 0 ? shootdown_fanout : 0,
                          .metric = metric,
                          .cpus = c->cpus,
                          .pages = c->pages,
                          .icr = c->icr * s->n / c->operations,
                          .irqs = c->irqs * s->n / c->operations};
    bench_record(&k, s);
}

static void refuse(struct bench_run *b, const struct shootdown_cell *c, const char *why)
{
    bench_refuse(b, "%s of %llu pages on %u CPUs, %s responders, by %s %s", c->op,
                 (unsigned long long)c->pages, c->cpus, responder_kind_name(c->responders->kind),
                 c->policy->name, why);
}

/* ---- where the time goes: rounds of their own, with time stamps patched in ---- */

/* Steps of the path, each between two of its time stamps. They overlap where the path's own steps do: sync flushes here before it
 * posts, the others after. Of a remap, which is one shootdown for each page, those of the last. */
static const struct {
    const char *metric;
    enum tlb_phase from, to;
} phases[] = {
    {"phase.change", TLB_T_BEGIN, TLB_T_CHANGED}, {"phase.targets", TLB_T_CHANGED, TLB_T_TARGETS},
    {"phase.post", TLB_T_TARGETS, TLB_T_POSTED},  {"phase.local", TLB_T_TARGETS, TLB_T_LOCAL},
    {"phase.wait", TLB_T_TARGETS, TLB_T_WAITED},  {"phase.release", TLB_T_WAITED, TLB_T_RELEASED},
    {"release", TLB_T_BEGIN, TLB_T_RELEASED},
};

/* The responders are out of their handlers (shootdown_round_cache), so the next to write is one of this round's. */
static void clear_interruptions(const struct shootdown_cell *c)
{
    for (cpu_t r = 0; r < cpu_count(); r++)
        if (shootdown_is_responder(c, r))
            atomic_store_relaxed(&per_cpu(trap_message_ticks, r), 0);
}

/* An interruption is known only when it ends, and the initiator does not wait for that. Of a remap, which may interrupt once for
 * each page, it is the latest that has ended. False if a responder's never comes. */
static bool add_interruptions(const struct shootdown_cell *c, struct samples *s)
{
    for (cpu_t r = 0; r < cpu_count(); r++) {
        if (!shootdown_is_responder(c, r))
            continue;
        struct wait w = WAIT("a responder to leave its handler", wait_ms(STAMP_LIMIT_MS));
        u64 ticks;
        while (!(ticks = atomic_load_relaxed(&per_cpu(trap_message_ticks, r))))
            if (!wait_spin(&w))
                return false;
        samples_add(s, ticks);
    }
    return true;
}

/* A policy that defers gives memory back after the operation has returned: at a tick, or when the last target has flushed. */
static bool wait_released(const struct shootdown_cell *c)
{
    const u64 *released = &this_cpu_ptr(shootdown_times)->t[TLB_T_RELEASED];
    struct wait w = WAIT("a deferred release", wait_ms(STAMP_LIMIT_MS));
    while (shootdown_policy_defers(c->served_by) && !atomic_load_relaxed(released))
        if (!wait_spin(&w))
            return false;
    return true;
}

/* Was it taken in the operation that has just ended? A policy that has no such step leaves whatever was in its ticket. The release may be
 * another CPU's, by its own clock; wait_released has seen it come. */
static bool is_of_now(const struct tlb_times *t, enum tlb_phase phase, u64 now)
{
    return phase == TLB_T_RELEASED || (t->t[phase] >= t->t[TLB_T_BEGIN] && t->t[phase] <= now);
}

static void measure_phases(struct bench_run *b, struct shootdown_cell *c)
{
    struct samples *s[ARRAY_SIZE(phases)], *responder = samples_get(SAMPLES_RESPONDER);
    bool known[ARRAY_SIZE(phases)];
    for (u32 i = 0; i < ARRAY_SIZE(phases); i++) {
        s[i] = samples_get(SAMPLES_PHASE_FIRST + i);
        known[i] = true;
    }

    must_work(patch_set(PATCH_TIMES, true), "patching time stamps in");
    u64 limit = tsc_from_us(PHASE_US), start = rdtsc(), ticks;
    bool worked = true, answered = true;
    for (u32 n = 0; worked && answered && n < PHASE_SAMPLES && (n < PHASE_ROUNDS || rdtsc() - start < limit);
         n++) {
        shootdown_round_cache(c);
        clear_interruptions(c);
        worked = shootdown_round_operate(c, &ticks);
        answered = !worked || wait_released(c);
        const struct tlb_times *t = this_cpu_ptr(shootdown_times);
        u64 now = rdtsc_ordered();
        for (u32 i = 0; i < ARRAY_SIZE(phases); i++) {
            known[i] &= is_of_now(t, phases[i].from, now) && is_of_now(t, phases[i].to, now);
            samples_add(s[i], bench_elapsed(t->t[phases[i].from], t->t[phases[i].to]));
        }
        shootdown_round_restore(c);
        answered = answered && (!worked || add_interruptions(c, responder));
    }
    must_work(patch_set(PATCH_TIMES, false), "patching time stamps out");

    if (!worked) {
        refuse(b, c, "did not take effect while its phases were measured");
    } else if (!answered) {
        refuse(b, c, "did not interrupt every responder");
    } else if (shootdown_served_by(c) != c->served_by) {
        refuse(b, c, "took another path while its phases were measured");
    } else {
        for (u32 i = 0; i < ARRAY_SIZE(phases); i++)
            if (known[i])
                record(c, phases[i].metric, s[i]);
        record(c, "responder", responder);
    }
}

/* ---- the cell ---- */

/* What this CPU has sent: interrupt commands of all, as nobody else sends any, and messages, of which one command may carry several. */
static struct bench_signals sent_now(void)
{
    static const struct counter *messages;
    if (!messages)
        messages = counter_find("msg_sent");
    ASSERT(messages, "the counter of messages exists");
    return (struct bench_signals){.irqs = counter_value(messages, cpu_self()), .icr = apic_icr_writes()};
}

/* Two ways have to send something for giving the range back. One is in flight: mapping it again does not wait for its release, but rings
 * whoever is behind, one by one (under `lazy` nobody else does). To protect it less, `quiesce` stops all before it knows that nothing goes.
 * An interrupt for each message or bare ring: a handler counts itself only on its way out, and those of the operation may still come. */
static void restore(struct shootdown_cell *c, struct bench_signals *own)
{
    bool may_send = c->policy->special;
    struct bench_signals before = may_send ? sent_now() : (struct bench_signals){0};
    bench_counts_pause();
    shootdown_round_restore(c);
    bench_counts_resume();
    if (may_send) {
        struct bench_signals now = sent_now();
        own->irqs += MAX(now.irqs - before.irqs, now.icr - before.icr);
        own->icr += now.icr - before.icr;
    }
}

/* One ordinary round; false if it did not have its effect. What it took to wake IDLE responders for it, and to give the range back, is
 * added to *own: the benchmark's, not the operation's. */
static bool round_of(struct shootdown_cell *c, struct bench_signals *own, u64 *ticks)
{
    if (c->responders->kind == RESPONDER_IDLE) {
        struct bench_signals before = bench_signals_now();
        bench_counts_pause();
        shootdown_round_cache(c);
        bench_counts_resume();
        struct bench_signals now = bench_signals_now();
        own->irqs += now.irqs - before.irqs;
        own->icr += now.icr - before.icr;
    } else {
        shootdown_round_cache(c);
    }
    bool worked = shootdown_round_operate(c, ticks);
    restore(c, own);
    return worked;
}

void shootdown_cell_measure(struct bench_run *b, struct shootdown_cell *c)
{
    c->p50 = 0;
    c->served_by = NULL;
    shootdown_rounds_begin(c);
    struct bench_signals before = bench_signals_now(), own = {0};
    struct samples *s = samples_get(SAMPLES_INITIATOR);
    struct cell_clock clock;
    bool worked = true;
    u64 ticks;
    cell_begin(&clock);
    cell_watch(&clock, s);
    while (worked && cell_continue(&clock)) {
        worked = round_of(c, &own, &ticks);
        if (!cell_warming_up(&clock))
            samples_add(s, ticks);
    }
    struct bench_signals now = bench_signals_now();
    u64 irqs = now.irqs - before.irqs;
    c->irqs = irqs > own.irqs ? irqs - own.irqs : 0; /* two rings may have been one interrupt */
    c->icr = now.icr - before.icr - own.icr;
    c->operations = clock.done;

    const struct shootdown_policy *served_by = shootdown_served_by(c);
    cpu_t unflushed = served_by && served_by->control ? CPU_NONE : shootdown_find_unflushed(c, clock.done);
    if (!worked) {
        refuse(b, c, "did not take effect");
    } else if (!served_by) {
        refuse(b, c, "was served by two policies: one figure would mix them");
    } else if (unflushed != CPU_NONE) {
        char why[64];
        format(why, sizeof(why), "did not make CPU %u flush every time", unflushed);
        refuse(b, c, why);
    } else {
        c->served_by = served_by;
        record(c, "initiator", s);
        c->p50 = samples_percentile(s, 500);
        /* LAZY ones are told nothing, so nobody posts and nobody is interrupted: there are no phases. */
        if (!bench_counting() && c->cpus > 1 && c->responders->kind != RESPONDER_LAZY)
            measure_phases(b, c);
    }
    shootdown_rounds_end(c);
}
