/* barrier: all meet, initiator and targets, when all have flushed.
 *
 * From: seL4, whose remote calls end at a sense-reversing barrier under its big lock.
 * Waits: everybody for everybody, the targets in their handlers.
 * Provides: WALKERS at return.
 * Needs: one record for all CPUs, so initiators take turns (waits_in_ipi); targets that take interrupts.
 * Good at: being small; the record can be reused the moment that the barrier opens.
 * Bad at: many CPUs: one line that all write, and every target stays in its handler until the slowest has come.
 *
 * seL4 reverses a flag; its kernels always meet with the same number of CPUs at hand. Here a CPU of one round may be no member of
 * the next, and could sleep through two reversals: so the sense is a counter. */
#include "lib/assert.h"
#include "lib/cost.h"
#include "lib/wait.h"
#include "mm/respond.h"

/* How long the slowest may take before we say that the machine is broken. */
#define BARRIER_LIMIT_MS 60000u

static struct {
    struct tlb_request request;
    u32 members;
    u32 arrived CACHE_ALIGNED; /* raised by each; the last one clears it and reverses the sense */
    u32 sense CACHE_ALIGNED;   /* rounds that have met */
} barrier;

/* `others`: who is rung anew if he does not come; NULL: nobody. */
static void meet(u32 round, const cpumask_t *others)
{
    cost_lines(2); /* the arrivals, the sense */
    /* LOCKed: each one's flush comes before its arrival; pairs with: the load of the sense below, by the way of the last. */
    if (atomic_fetch_add(&barrier.arrived, 1) + 1 == barrier.members) {
        atomic_store_relaxed(&barrier.arrived, 0);
        /* orders: all arrivals, and the cleared count, before the opening; pairs with: the load below; else: a member of
         * the next round could find this round's count. */
        atomic_store_release(&barrier.sense, round + 1);
        return;
    }
    struct wait w = WAIT("all CPUs of a shootdown to meet", wait_ms(BARRIER_LIMIT_MS));
    struct wait anew = WAIT(w.what, wait_ms(RING_ANEW_MS));
    /* orders: leaving, and for the initiator the reuse of the record, after everyone's arrival; pairs with: the store above;
     * else: the record could change under a member's eyes. */
    while ((s32)(atomic_load_acquire(&barrier.sense) - round) <= 0) {
        if (!wait_spin(&w))
            panic("waited over %u s for %s: %u of %u have come", BARRIER_LIMIT_MS / 1000, w.what,
                  atomic_load_relaxed(&barrier.arrived), barrier.members);
        if (others && !wait_spin(&anew)) {
            smp_ring_anew(others);
            anew = (struct wait)WAIT(w.what, wait_ms(RING_ANEW_MS));
        }
    }
}

static void barrier_received(struct msg_in *in)
{
    u32 round = (u32)in->word[0];
    msg_ack(in);
    cost_line(); /* the record */
    if (tlb_respond_enter(&barrier.request))
        tlb_respond_flush(&barrier.request);
    meet(round, NULL);
}
MSG_KIND(tlb_barrier, barrier_received);

static void barrier_post(struct tlb_ticket *t)
{
    u32 round = atomic_load_relaxed(&barrier.sense);
    cost_lines(2); /* the generation, the record */
    barrier.request = t->request;
    barrier.members = cpumask_count(&t->must) + 1;
    struct msg m = {.kind = &tlb_barrier, .flags = MSG_OWN_ACK, .word = {round}};
    cpumask_t full;
    cpumask_clear(&full);
    msg_post_mask(&t->must, &m, &full);
    CPUMASK_FOREACH (c, &full) {
        err_t e = msg_send(c, &m); /* when its line is free: a word would not bring it to the meeting */
        ASSERT(e == ERR_OK, "a CPU that has the space is online, and answers");
    }
    shootdown_stamp_posted(t);
    shootdown_flush_here(t);
    meet(round, &t->must);
}

SHOOTDOWN_POLICY(barrier, "tell all, flush, and meet at a barrier, targets too (seL4)",
                 .at_return = TLB_WALKERS, .at_release = TLB_WALKERS, .special = true, .waits_in_ipi = true,
                 .post = barrier_post);
