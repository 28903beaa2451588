/* Shootdowns of policies that do not simply post and wait: those whose targets wait in IPI context, those that defer the
 * release, those that are broken on purpose, and all of them while NMIs deliver. Kept apart, so that the others do not pay for them. */
#include "lib/assert.h"
#include "lib/context.h"
#include "lib/counter.h"
#include "lib/stop_point.h"
#include "mm/by_nmi.h"
#include "mm/deferred.h"
#include "mm/respond.h"
#include "mm/ticket_internal.h"

COUNTER(shootdown_pulled,
        "CPUs told to forget everything, because somebody needed memory or a range that was put off");
DECLARE_PERCPU(u64, counter_shootdowns);

/* Two initiators whose targets wait in IPI context would each wait for the other's CPU, which sits in the handler of the
 * other's operation. So there is one at a time, from before the space's lock (were it the other way round, a stopped CPU
 * could hold that) to the release. Taken with interrupts on: who waits for it can still be stopped. */
static spinlock_t turn = SPINLOCK_INIT;

void ticket_take_turn(struct tlb_ticket *t)
{
    if (t->asked->waits_in_ipi && !t->has_turn) {
        preempt_disable();
        spin_lock_to_wait(&turn);
        t->has_turn = true;
    }
}

void ticket_give_turn(struct tlb_ticket *t)
{
    if (t->has_turn) {
        t->has_turn = false;
        spin_unlock(&turn);
        preempt_enable();
    }
}

void ticket_cancel(struct tlb_ticket *t)
{
    if (t->asked->cancel)
        t->asked->cancel(t);
}

/* ---- deferring ---- */

/* What the words must say before the memory of a deferred ticket is given back. */
static enum tlb_level release_level(const struct tlb_ticket *t)
{
    return MIN(t->policy->at_release, t->request.level);
}

cpu_t ticket_behind(const struct tlb_ticket *t, cpu_t from)
{
    enum tlb_level level = release_level(t);
    for (cpu_t c = from; (c = cpumask_next(&t->must, c)) != CPU_NONE; c++)
        if (!ticket_cpu_reached(t->request.space, c, t->request.gen, level))
            return c;
    return CPU_NONE;
}

bool ticket_is_ready(const struct tlb_ticket *t)
{
    return ticket_behind(t, 0) == CPU_NONE;
}

bool ticket_release_deferred(struct tlb_ticket *t, bool try)
{
    struct space *s = t->request.space;
    ASSERT(t->here_done, "the initiator flushes itself before memory is released");
    /* Before the range: from the unlock on, whoever destroys the space may find it quiet, and free it. */
    ticket_free_parked(t);
    if (try) {
        if (!spin_trylock(&s->lock))
            return false;
    } else {
        spin_lock(&s->lock);
    }
    ticket_unlink(t);
    spin_unlock(&s->lock);
    return true;
}

/* The operation is over for its caller; its ticket lives on in `place`. */
static void close_deferred(const struct tlb_ticket *t, struct tlb_ticket *place)
{
    struct space *s = t->request.space;
    *place = *t;
    ticket_link(place);
    spin_unlock(&s->lock);
    STAMP(place, TLB_T_TARGETS);
    STOP_POINT(STOP_UNLOCKED);
    (void)by_nmi_serves(place); /* never does; counted */
    place->policy->post(place);
    counter_inc(shootdowns);
    if (patch_enabled(PATCH_TIMES)) {
        /* Its release has no time yet: mm/deferred.c:release_taken notes it, whichever CPU that is. */
        place->times.t[TLB_T_WAITED] = rdtsc_ordered();
        place->times.t[TLB_T_RELEASED] = 0;
        *this_cpu_ptr(shootdown_times) = place->times;
    }
    deferred_publish(place);
    deferred_sweep();
    if (deferred_here())
        shootdown_want_tick();
    preempt_enable();
}

/* ---- the way of special policies ---- */

void ticket_close_special(struct tlb_ticket *t)
{
    const struct shootdown_policy *p = t->policy;
    bool nobody = cpumask_empty(&t->must);

    if (shootdown_policy_defers(p) && !nobody) {
        struct tlb_ticket *place = deferred_take();
        if (place) {
            close_deferred(t, place);
            return;
        }
        p = t->policy = shootdown_strongest_path();
    }
    ticket_link(t);
    spin_unlock(&t->request.space->lock);
    STAMP(t, TLB_T_TARGETS);
    STOP_POINT(STOP_UNLOCKED);
    /* A policy that has stopped CPUs has to let them go, whoever is in `must`. */
    bool by_nmi = !nobody && by_nmi_serves(t);
    if (by_nmi)
        p->post_nmi(t);
    else if (!nobody || p->prepare)
        p->post(t);
    else
        shootdown_flush_here(t);
    STOP_POINT(STOP_WAIT);
    if (p->control)
        ; /* waits for nobody */
    else if (by_nmi)
        by_nmi_wait(t, release_level(t));
    else
        ticket_wait_published(t, release_level(t));
    ticket_finish(t);
}

/* ---- those who meet what was put off ---- */

/* A change that nobody waits for may stay in flight for long. */
#define PATIENCE_TURNS 64u

void ticket_hurry_others(struct space *s, u32 turns)
{
    if (deferred_sweep_all(s) && turns && turns % PATIENCE_TURNS == 0)
        deferred_pull(s);
}

void ticket_pull(cpu_t c)
{
    counter_inc(shootdown_pulled);
    tlb_flush_all_by_word(c);
}
