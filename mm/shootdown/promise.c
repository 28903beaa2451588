/* promise: the handler only promises; the flush comes before the CPU returns to ring 3.
 *
 * From: Hedron (and NOVA): "We promise to flush the TLB before we execute any user/guest code."
 * Waits: the initiator, until each target has promised.
 * Provides: ENTERED; the rest is routed to `concurrent`.
 * Needs: the ways back to ring 3 look at user_work (kernel/thread.h), and kernel code opens a user-access section before it touches
 * user memory (shootdown_user_open). A target that may be inside such a section, or is a kernel thread that uses a space
 * directly, does not put its flush off: it flushes in the handler, as under early_ack.
 * Good at: the handler's time; many shootdowns between two returns to ring 3 cost one flush. An NMI that comes in between
 * finds tlb_pending raised, and must not touch user memory.
 * Bad at: the flush forgets everything of the space; whoever needs FLUSHED meanwhile has to interrupt again.
 *
 * A forgotten promise faults, as in Hedron: from the promise until it is kept the CPU's code segment of ring 3 is not present, so an IRETQ to
 * it is #NP; a system call returns by SYSRETQ, which does not look at segments, only while user_work is 0, and here it is not
 * (kernel/syscall_entry.asm). So no way out has to be trusted to call promise_keep; it costs two stores. */
#include "lib/assert.h"
#include "lib/cost.h"
#include "lib/stop_point.h"
#include "mm/respond.h"

COUNTER(shootdown_promised, "flushes put off until the return to ring 3");
COUNTER(shootdown_promise_kept, "flushes that served all promises since the last");

static PERCPU(bool, promised);

static void bar_ring3(bool barred)
{
    u32 work = this_cpu(percpu_head.user_work);
    this_cpu(percpu_head.user_work) =
        barred ? work | SHOOTDOWN_USER_WORK | SHOOTDOWN_USER_BARRED : work & ~SHOOTDOWN_USER_BARRED;
    TABLE_FOREACH (shootdown_gate, struct shootdown_gate, g)
        g->bar(barred);
}

/* Interrupts off. */
static void promise(void)
{
    counter_inc(shootdown_promised);
    if (this_cpu(promised)) {
        ASSERT(this_cpu(percpu_head.user_work) & SHOOTDOWN_USER_WORK,
               "a promise to flush has been forgotten");
        return;
    }
    this_cpu(promised) = true;
    this_cpu(tlb_pending)++; /* before anyone is told */
    bar_ring3(true);
    compiler_barrier();
}

/* Interrupts off. */
static void promise_keep(void)
{
    if (!this_cpu(promised))
        return;
    counter_inc(shootdown_promise_kept);
    tlb_catch_up_loaded();
    compiler_barrier();
    this_cpu(promised) = false;
    this_cpu(tlb_pending)--;
    bar_ring3(false);
}

static void promise_received(struct msg_in *in)
{
    struct space *s = (struct space *)in->word[0];
    tlb_gen_t gen = in->word[1];
    if (!shootdown_user_is_closed() || s != this_cpu(tlb_loaded)) {
        tlb_respond(in);
        return;
    }
    promise();
    STOP_POINT(STOP_PENDING);
    msg_ack(in);
    cost_line(); /* our words, which the initiator looks at */
    tlb_publish_entered(s, gen);
    STOP_POINT(STOP_ACKED);
}
MSG_KIND(tlb_promise, promise_received);

static void promise_post(struct tlb_ticket *t)
{
    shootdown_send_kind(t, &t->must, &tlb_promise, TLB_ENTERED, 0, 0);
    shootdown_flush_here(t);
}

SHOOTDOWN_POLICY(promise, "targets promise to flush before ring 3, and are not waited for longer (Hedron)",
                 .at_return = TLB_ENTERED, .at_release = TLB_ENTERED, .post = promise_post,
                 .leave = promise_keep);
