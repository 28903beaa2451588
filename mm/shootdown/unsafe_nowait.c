/* unsafe_nowait: tells the others and goes on. BROKEN ON PURPOSE.
 *
 * From: version 2 of the 2019 series as it was posted, whose asynchronous branch never waited for the acknowledgement.
 * Waits: nobody.
 * Provides: SENT, which is enough for nothing: a frame is reused while other CPUs still read and write it. It claims FLUSHED
 * below, so that user ranges are not routed to a policy that works; freed tables and kernel ranges, as in the posted series,
 * take the safe path.
 * Needs: unsafe=yes. Not by NMI: that would come at once whatever the target does, and the window would be too short to be seen.
 * Good for: showing that the stale-translation tests can fail, and what the posted figures left out. */
#include "mm/shootdown.h"

static void unsafe_nowait_post(struct tlb_ticket *t)
{
    shootdown_send(t, TLB_ENTERED);
    shootdown_flush_here(t);
}

SHOOTDOWN_POLICY(unsafe_nowait, "BROKEN control: tell all, wait for nobody (needs unsafe=yes)",
                 .at_return = TLB_SENT, .at_release = TLB_FLUSHED, .control = true, .special = true,
                 .post = unsafe_nowait_post);
