/* concurrent: everybody flushes at once.
 *
 * From: Linux since 5.13 (the part of the 2019 series that was merged).
 * Waits: the initiator, for each target's flush; its own flush runs meanwhile.
 * Provides: WALKERS at return, and so everything below. Requests that another policy cannot serve come here.
 * Needs: nothing.
 * Good at: long ranges, where the initiator's flush hides the delivery of the interrupts.
 * Bad at: still waits for the slowest target's whole flush. */
#include "mm/shootdown.h"
#include "mm/split.h"

static void concurrent_post(struct tlb_ticket *t)
{
    shootdown_send(t, TLB_FLUSHED);
    shootdown_flush_here(t);
}

static void concurrent_post_nmi(struct tlb_ticket *t)
{
    shootdown_send_nmi(t, TLB_FLUSHED);
    shootdown_flush_here(t);
}

static void concurrent_post_split(struct tlb_ticket *t)
{
    split_send(t, TLB_FLUSHED);
    shootdown_flush_here(t);
}

SHOOTDOWN_POLICY(concurrent, "tell all, flush here meanwhile, wait for every flush (Linux today)",
                 .at_return = TLB_WALKERS, .at_release = TLB_WALKERS, .post = concurrent_post,
                 .post_nmi = concurrent_post_nmi, .post_split = concurrent_post_split);
