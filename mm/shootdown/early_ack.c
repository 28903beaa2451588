/* early_ack: the request travels inside the message, and is acknowledged on entry.
 *
 * From: the asynchronous part of Nadav Amit's 2019 series for Linux ("async and inline messages for flushing"), with the
 * wait for the acknowledgement that its posted version lacked; FreeBSD and XNU ship relatives of it.
 * Waits: the initiator, until each target is in the handler and has published that a flush is pending.
 * Provides: ENTERED. Narrowed rights, remaps, kernel ranges (FLUSHED) and freed tables (WALKERS) are routed to `concurrent`,
 * and counted (shootdown_routed).
 * Needs: nobody on a target touches user memory between acknowledgement and flush: the handler runs with interrupts off and
 * SMAP closed, and NMI handlers ask nmi_user_access_ok() first. The frame is reused as ordinary write-back memory.
 * Good at: long ranges and slow flushes: the initiator waits for none of them.
 * Bad at: nothing to gain where the flush is short against the interrupt.
 * The technique is claimed by US patent 11,321,242: see docs/caveats.md. */
#include "mm/shootdown.h"
#include "mm/split.h"

static void early_ack_post(struct tlb_ticket *t)
{
    shootdown_send(t, TLB_ENTERED);
    shootdown_flush_here(t);
}

static void early_ack_post_nmi(struct tlb_ticket *t)
{
    shootdown_send_nmi(t, TLB_ENTERED);
    shootdown_flush_here(t);
}

static void early_ack_post_split(struct tlb_ticket *t)
{
    split_send(t, TLB_ENTERED);
    shootdown_flush_here(t);
}

SHOOTDOWN_POLICY(early_ack, "as concurrent, but wait only until every target has entered its handler",
                 .at_return = TLB_ENTERED, .at_release = TLB_ENTERED, .post = early_ack_post,
                 .post_nmi = early_ack_post_nmi, .post_split = early_ack_post_split);
