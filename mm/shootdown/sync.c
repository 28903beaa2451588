/* sync: the textbook shootdown.
 *
 * From: every operating-systems course; in the wild Theseus and Zircon do nearly this.
 * Waits: the initiator, for each target's flush, after it has flushed itself.
 * Provides: WALKERS at return, and so everything below.
 * Needs: nothing.
 * Good at: being obviously right; the baseline that others are measured against.
 * Bad at: everything is in sequence, so the initiator's flush and the slowest target's flush add up. */
#include "mm/shootdown.h"
#include "mm/split.h"

static void sync_post(struct tlb_ticket *t)
{
    shootdown_flush_here(t);
    shootdown_send(t, TLB_FLUSHED);
}

static void sync_post_nmi(struct tlb_ticket *t)
{
    shootdown_flush_here(t);
    shootdown_send_nmi(t, TLB_FLUSHED);
}

static void sync_post_split(struct tlb_ticket *t)
{
    shootdown_flush_here(t);
    split_send(t, TLB_FLUSHED);
}

SHOOTDOWN_POLICY(sync, "flush here, then tell all, then wait for every flush (textbook)",
                 .at_return = TLB_WALKERS, .at_release = TLB_WALKERS, .post = sync_post,
                 .post_nmi = sync_post_nmi, .post_split = sync_post_split);
