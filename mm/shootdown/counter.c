/* counter: a flag and a counter on each CPU, and always a flush of everything.
 *
 * From: XNU (x86-64): cpu_tlb_invalid and the count beside it.
 * Waits: the initiator, until each target's counter has moved, or its flag is clear, or it has left the space.
 * Provides: ENTERED; the rest is routed to `concurrent`.
 * Needs: what early_ack needs.
 * Good at: many small changes from many CPUs at once: one flag serves them all, and no request has to be carried.
 * Bad at: targets lose everything they had cached, global entries too, for one page. */
#include "lib/assert.h"
#include "lib/cost.h"
#include "lib/percpu.h"
#include "lib/wait.h"
#include "mm/respond.h"
#include "mm/space.h"
#include "smp/cpus.h"

/* After this the watchdog looks on. Longer than any handler takes. */
#define COUNTER_PATIENCE_MS 1u

struct counter_words {
    u32 invalid; /* set by initiators, cleared by the owner before it looks what has changed */
    u32 count;   /* times that the owner has cleared it */
} CACHE_ALIGNED;
static PERCPU(struct counter_words, counter_words);

/* What an initiator has seen of the others' counters. Not on its stack: with 512 CPUs it is 2 KiB. */
struct counter_seen {
    u32 count[MAX_CPUS];
};
static PERCPU(struct counter_seen, counter_seen);

static void counter_entered(void)
{
    struct counter_words *w = this_cpu_ptr(counter_words);
    /* orders: our earlier accesses, and the published ENTERED, before the count; pairs with:
     * mm/shootdown/counter.c:has_answered (acquire); else: memory could be reused under them. */
    atomic_store_release(&w->count, w->count + 1);
}

static void counter_enter(void)
{
    struct counter_words *w = this_cpu_ptr(counter_words);
    if (likely(!atomic_load_relaxed(&w->invalid)))
        return;
    cost_lines(2); /* the flag, looked at and taken */
    /* LOCKed, and before the generations are read: a change whose initiator finds the flag clear from here on is covered by
     * the flush that follows, or has set it again. */
    atomic_xchg(&w->invalid, 0);
    tlb_flush_everything(counter_entered);
}

static bool has_answered(const struct space *s, cpu_t c, u32 before)
{
    const struct counter_words *w = &per_cpu(counter_words, c);
    /* orders: the reuse of memory after the target's entry; pairs with: mm/shootdown/counter.c:counter_entered (release) and
     * the exchange of counter_enter; else: as there. */
    return atomic_load_acquire(&w->count) != before || !atomic_load_acquire(&w->invalid) ||
           !cpumask_test_relaxed(&s->active, c);
}

struct answer {
    const struct space *space;
    cpu_t cpu;
    u32 before;
};

static bool is_answered(const void *arg)
{
    const struct answer *a = arg;
    return has_answered(a->space, a->cpu, a->before);
}

static COLD void wait_watched(const struct space *s, cpu_t c, u32 before)
{
    struct answer a = {s, c, before};
    if (smp_wait_served(c, "shootdown counter", is_answered, &a) != ERR_OK)
        panic("CPU %u (APIC id %u) has not moved its shootdown counter", c, cpu_apic_id(c));
}

static void counter_post(struct tlb_ticket *t)
{
    u32 *seen = this_cpu_ptr(counter_seen)->count;
    u32 n = cpumask_count(&t->must);
    cost_lines_turns(n, n); /* the flags */
    CPUMASK_FOREACH (c, &t->must) {
        struct counter_words *w = &per_cpu(counter_words, c);
        /* LOCKed: the flag before the look at the count. Were it the other way round, a target that was just serving an
         * earlier request could move the count in between, and we would take that for its answer to us. */
        atomic_xchg(&w->invalid, 1);
        seen[c] = atomic_load_relaxed(&w->count);
    }
    smp_doorbell_mask(&t->must);
    shootdown_posted(t);
    shootdown_flush_here(t);
    cost_lines_turns(n, n); /* the counters */
    CPUMASK_FOREACH (c, &t->must) {
        struct wait w = WAIT("a CPU's shootdown counter", wait_ms(COUNTER_PATIENCE_MS));
        while (!has_answered(t->request.space, c, seen[c]))
            if (!wait_spin(&w)) {
                wait_watched(t->request.space, c, seen[c]);
                break;
            }
    }
}

SHOOTDOWN_POLICY(counter, "a flag and a counter on each CPU; targets flush everything (XNU)",
                 .at_return = TLB_ENTERED, .at_release = TLB_ENTERED, .enter = counter_enter,
                 .post = counter_post);
