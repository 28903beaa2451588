/* quiesce: everybody stops; then the tables change; then everybody forgets and goes on.
 *
 * From: Mach (Black and others, 1989); DragonFly's pmap still does it.
 * Waits: the initiator, until every CPU that runs in the space has stopped in its handler, before it touches an entry; the
 * targets, in their handlers, until the change is made; the initiator again, until all have flushed. (DragonFly spares
 * itself the last wait, and waits before its next change instead.)
 * Provides: WALKERS at return, and more than the others do: while the entries change, no CPU runs in the space. Only one that
 * is just loading it may join meanwhile; it reads the generation afterwards, and is told like under any policy.
 * Needs: targets that take interrupts; nobody who holds, with interrupts on, a lock that somebody else takes with interrupts
 * off. Initiators take turns (waits_in_ipi).
 * Good at: hardware that writes accessed and dirty bits back without looking whether the entry is still there.
 * Bad at: everything else: each target stands still for the slowest target's way into its handler, and for the change. */
#include "lib/assert.h"
#include "lib/cost.h"
#include "lib/wait.h"
#include "mm/respond.h"
#include "mm/space.h"
#include "smp/cpus.h"

/* How long CPUs may take to stop, and to go on, before we say that the machine is broken. */
#define QUIESCE_LIMIT_MS 60000u

/* One record: initiators take turns. */
static struct {
    u32 round; /* the initiator's */
    u32 inside; /* CPUs in their handlers, of this round and of the last: counted up by the initiator, down by them */
    u32 stopped;                /* of this round, those that have stopped */
    struct tlb_request request; /* valid once `go` is the round */
    bool cancelled;
    cpumask_t who;
    u32 go CACHE_ALIGNED; /* the last round whose targets may go on */
} quiesce;

static NORETURN COLD void stuck(const char *what)
{
    panic("waited over %u s for %s", QUIESCE_LIMIT_MS / 1000, what);
}

static void wait_for_change(u32 round)
{
    struct wait w = WAIT("the initiator of a quiesced change", wait_ms(QUIESCE_LIMIT_MS));
    /* orders: the changed entries and the request before our flush; pairs with: mm/shootdown/quiesce.c:let_go (release);
     * else: we could go on with the old translation. */
    while ((s32)(atomic_load_acquire(&quiesce.go) - round) < 0)
        if (!wait_spin(&w))
            stuck(w.what);
}

static void quiesce_received(struct msg_in *in)
{
    u32 round = (u32)in->word[0];
    cost_lines(4); /* the record: as stopped, to read the request, as gone on; and the word that lets us go */
    /* LOCKed: our accesses through the old translation are over, stores have drained; pairs with: the initiator's
     * mm/shootdown/quiesce.c:wait_count (acquire). */
    atomic_fetch_add(&quiesce.stopped, 1);
    wait_for_change(round);
    if (!quiesce.cancelled && tlb_respond_enter(&quiesce.request))
        tlb_respond_flush(&quiesce.request);
    atomic_fetch_sub(&quiesce.inside, 1);
}
MSG_KIND(tlb_quiesce, quiesce_received);

/* `late`: who is rung anew if he does not come; NULL: nobody. */
static void wait_count(const u32 *word, u32 wanted, const cpumask_t *late, const char *what)
{
    struct wait w = WAIT(what, wait_ms(QUIESCE_LIMIT_MS)), anew = WAIT(what, wait_ms(RING_ANEW_MS));
    /* orders: the targets' last accesses before our change of the tables; pairs with: the LOCKed operations of
     * mm/shootdown/quiesce.c:quiesce_received; else: one of them could still store by the old entry. */
    while (atomic_load_acquire(word) != wanted) {
        if (!wait_spin(&w))
            stuck(what);
        if (late && !wait_spin(&anew)) {
            smp_ring_anew(late);
            anew = (struct wait)WAIT(what, wait_ms(RING_ANEW_MS));
        }
    }
}

/* An earlier message of ours is still in the line. Not msg_send: the space's lock is held, which nobody else may wait with; whoever waits for
 * it takes interrupts, the one that frees the line too. */
static void post_when_free(cpu_t to, const struct msg *m)
{
    struct wait w = WAIT("the line to a CPU that is to stop", wait_ms(QUIESCE_LIMIT_MS));
    err_t e;
    while ((e = msg_post(to, m)) == ERR_FULL)
        if (!wait_spin(&w))
            stuck(w.what);
    ASSERT(e == ERR_OK, "a CPU that has the space is online, and answers");
}

static void quiesce_prepare(struct tlb_ticket *t)
{
    cost_lines(
        3); /* the record, as the targets of the last round left it; taken; and when these have stopped */
    /* Nobody may still read the last round's request. */
    wait_count(&quiesce.inside, 0, NULL, "the targets of the last quiesced change to go on");
    cpumask_clear(&quiesce.who);
    cpumask_snapshot(&quiesce.who, &t->request.space->active);
    cpumask_unset(&quiesce.who, cpu_self());
    u32 n = cpumask_count(&quiesce.who);
    quiesce.inside = n;
    quiesce.stopped = 0;
    quiesce.round++;

    struct msg m = {.kind = &tlb_quiesce, .flags = MSG_SYNC, .word = {quiesce.round}};
    cpumask_t full;
    cpumask_clear(&full);
    if (n)
        msg_post_mask(&quiesce.who, &m, &full);
    CPUMASK_FOREACH (c, &full)
        post_when_free(c, &m);
    wait_count(&quiesce.stopped, n, &quiesce.who, "CPUs to stop for a quiesced change");
}

static void let_go(bool cancelled)
{
    quiesce.cancelled = cancelled;
    /* orders: the changed entries, the raised generation and the request before the word; pairs with:
     * mm/shootdown/quiesce.c:wait_for_change (acquire); else: as there. */
    atomic_store_release(&quiesce.go, quiesce.round);
}

static void quiesce_cancel(struct tlb_ticket *t)
{
    (void)t;
    let_go(true);
}

static void quiesce_post(struct tlb_ticket *t)
{
    cost_lines(3); /* the generation, the record, the word that lets them go */
    quiesce.request = t->request;
    let_go(false);
    /* CPUs that have joined since, or that only borrow the root and are told because tables go. */
    cpumask_t late;
    cpumask_clear(&late);
    bool any = false;
    CPUMASK_FOREACH (c, &t->must)
        if (!cpumask_test(&quiesce.who, c)) {
            cpumask_set(&late, c);
            any = true;
        }
    if (any)
        shootdown_send_to(t, &late, TLB_FLUSHED);
    else
        shootdown_stamp_posted(t);
    shootdown_flush_here(t);
}

SHOOTDOWN_POLICY(quiesce, "stop all, change the tables, let all flush and go on (Mach 1989)",
                 .at_return = TLB_WALKERS, .at_release = TLB_WALKERS, .special = true, .waits_in_ipi = true,
                 .prepare = quiesce_prepare, .cancel = quiesce_cancel, .post = quiesce_post);
