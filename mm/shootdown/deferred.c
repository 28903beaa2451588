/* deferred: nobody waits; whoever flushes last gives the memory back.
 *
 * From: managarm, whose shootdowns are objects that complete when the last CPU has flushed. (Its completion wakes a coroutine; ours
 * frees what the ticket has parked.)
 * Waits: nobody. The operation returns when the messages are sent.
 * Provides: SENT at return, WALKERS at release. So it serves operations whose caller needs no more than that memory is not
 * reused too early: unmaps of owned memory, freed tables too. Narrowed rights, remaps and kernel ranges go to `concurrent`.
 * Needs: a free place for the ticket (mm/deferred.h); without one the operation waits as under `concurrent`
 * (shootdown_pool_empty).
 * Good at: the initiator's time; no wait loop, so nothing to deadlock.
 * Bad at: memory is given back later, by a target inside its handler, whose time that costs; and until then the range is
 * taken: mapping it again waits after all. */
#include "mm/deferred.h"
#include "mm/respond.h"

static void deferred_received(struct msg_in *in)
{
    struct tlb_ticket *t = (struct tlb_ticket *)in->word[4];
    u64 serial = in->word[5];
    tlb_respond(in);
    deferred_complete(t, serial);
}
MSG_KIND(tlb_deferred, deferred_received);

static void deferred_post(struct tlb_ticket *t)
{
    u64 serial = deferred_count(t, cpumask_count(&t->must));
    shootdown_send_kind(t, &t->must, &tlb_deferred, TLB_FLUSHED, (u64)t, serial);
    shootdown_flush_here(t);
}

SHOOTDOWN_POLICY(deferred, "tell all, wait for nobody; the last to flush gives memory back (managarm)",
                 .at_return = TLB_SENT, .at_release = TLB_WALKERS, .special = true, .post = deferred_post);
