/* batched: one flush for many unmaps, before the initiator returns to ring 3.
 *
 * From: Linux's unmap batching, and the user-safe batching of the EuroSys 2020 series.
 * Waits: nobody at an unmap; at the end of the batch, the initiator, for every target's flush.
 * Provides: nothing at an unmap's return, WALKERS at release; so ring 3, which sees only the system call's return, gets
 * WALKERS. Serves unmaps of owned memory; the rest goes to `concurrent`.
 * Needs: a batch: a system call of ring 3 (this CPU touches no user memory until it returns), or shootdown_batch_begin ..
 * shootdown_batch_end around the operations. Outside of both, each operation is a batch of one.
 * Good at: many small unmaps in one call: one interrupt for each target instead of one for each.
 * Bad at: the targets lose everything of the space for it; memory waits for the end of the batch. */
#include "lib/context.h"
#include "lib/cost.h"
#include "mm/deferred.h"
#include "mm/respond.h"
#include "mm/split.h"
#include "mm/ticket_internal.h"

COUNTER(shootdown_batches, "batches of unmaps flushed at once");

/* Below the number of a CPU's places for tickets, so that a batch ends before they do. */
#define BATCH_MAX 12u

struct batch {
    struct space *space; /* of all tickets in it */
    u32 count, depth;    /* tickets; shootdown_batch_begin calls not yet ended */
    struct tlb_ticket all;
};
static PERCPU(struct batch, batch);

/* THREAD, preemption off. */
static void flush_batch(struct batch *b)
{
    if (!b->count)
        return;
    b->count = 0;
    counter_inc(shootdown_batches);
    cost_line(); /* the generation, which the others have read */
    split_send_if_chosen(&b->all, TLB_FLUSHED);
    ticket_wait_published(&b->all, b->all.request.level);
}

static void add(struct batch *b, const struct tlb_ticket *t)
{
    struct tlb_request *all = &b->all.request;
    if (!b->count++) {
        b->all = *t;
        all->pages = TLB_ALL_PAGES;
        return;
    }
    all->gen = t->request.gen; /* the highest: this CPU's changes of a space are numbered in order */
    all->level = MAX(all->level, t->request.level);
    CPUMASK_FOREACH (c, &t->must)
        cpumask_set(&b->all.must, c);
}

static void batched_post(struct tlb_ticket *t)
{
    struct batch *b = this_cpu_ptr(batch);
    if (b->count && (b->all.request.space != t->request.space || b->count == BATCH_MAX))
        flush_batch(b);
    add(b, t);
    shootdown_posted(t);
    shootdown_flush_here(t);
    if (b->depth)
        return;
    if (shootdown_user_is_closed())
        this_cpu(percpu_head.user_work) |= SHOOTDOWN_USER_WORK;
    else
        flush_batch(b);
}

static void batched_user_return(void)
{
    irq_enable();
    preempt_disable();
    flush_batch(this_cpu_ptr(batch));
    deferred_sweep();
    preempt_enable();
    irq_disable();
}

void shootdown_batch_begin(void)
{
    preempt_disable();
    this_cpu_ptr(batch)->depth++;
}

void shootdown_batch_end(void)
{
    struct batch *b = this_cpu_ptr(batch);
    if (--b->depth == 0) {
        flush_batch(b);
        deferred_sweep();
    }
    preempt_enable();
}

SHOOTDOWN_POLICY(batched, "one flush for many unmaps, before the return to ring 3 (EuroSys 2020)",
                 .at_return = TLB_NONE, .at_release = TLB_WALKERS, .special = true, .post = batched_post,
                 .user_return = batched_user_return);
