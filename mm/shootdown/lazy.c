/* lazy: nobody is told. Every CPU forgets when it next ticks or switches; memory is held until then.
 *
 * From: LATR (Kumar and others, 2018).
 * Waits: nobody; no interrupt is sent.
 * Provides: nothing at return, WALKERS at release: serves unmaps of owned memory only. The rest goes to `concurrent`.
 * Needs: a free place for the ticket (mm/deferred.h). LATR's targets look through the state arrays of all CPUs; ours compare
 * their generation with the space's, which says the same. This kernel has no periodic tick: the initiator's timer stands for
 * it, and stragglers are told by their flush-everything word (shootdown_pulled) at the second tick.
 * Good at: the initiator's time, and the targets': what many unmaps have taken away costs them one flush.
 * Bad at: memory comes back a tick later; and mapping the same range again must not wait that long, so it interrupts. */
#include "mm/respond.h"

static void lazy_post(struct tlb_ticket *t)
{
    shootdown_stamp_posted(t);
    shootdown_flush_here(t);
}

SHOOTDOWN_POLICY(lazy, "tell nobody; all forget at their next tick or switch (LATR)", .at_return = TLB_NONE,
                 .at_release = TLB_WALKERS, .special = true, .post = lazy_post, .tick = tlb_catch_up_loaded);
