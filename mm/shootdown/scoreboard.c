/* scoreboard: a generation word for each pair of CPUs, and a bare doorbell.
 *
 * From: FreeBSD since 2020 (amd64): any number of initiators in parallel, each with a request of its own that targets read,
 * acknowledged before the flush.
 * Waits: the initiator, until each target's word for it says that the request was read and the flush published as pending.
 * Provides: ENTERED. Unlike FreeBSD, which acknowledges early for everything, narrowed rights, remaps, kernel ranges and freed
 * tables are routed to `concurrent`.
 * Needs: what early_ack needs.
 * Good at: no line to be full, so no second path; an initiator writes one word for each target, and its request once.
 * Bad at: the target looks through a word for every CPU of the machine each time that a bare doorbell rings, and reads the
 * initiator's request in another line than the word that announces it. */
#include "lib/assert.h"
#include "lib/cost.h"
#include "lib/percpu.h"
#include "lib/wait.h"
#include "mm/respond.h"
#include "mm/space.h"
#include "smp/cpus.h"

/* After this the watchdog looks on. Longer than any handler takes. */
#define SCOREBOARD_PATIENCE_MS 1u

/* What one CPU asks of others: written by its owner, while no target reads it. */
struct scoreboard_request {
    struct tlb_request request;
    u32 turn; /* raised by 2 for each request: an odd word on a board asks, the even one behind it answers */
} CACHE_ALIGNED;
static PERCPU(struct scoreboard_request, scoreboard_request);

/* One CPU's board: a word from each initiator. The initiator makes it odd, the owner of the board even. */
struct scoreboard {
    u32 from[MAX_CPUS];
} CACHE_ALIGNED;
static PERCPU(struct scoreboard, scoreboard);

static void answer(u32 *word, u32 asked, cpu_t from)
{
    struct tlb_request r = per_cpu(scoreboard_request, from).request;
    cost_lines(3); /* the word, the request, the answer */
    bool here = tlb_respond_enter(&r);
    /* orders: our reads of the request, our earlier accesses and the published count before the answer; pairs with:
     * mm/shootdown/scoreboard.c:scoreboard_wait (acquire); else: the request could be refilled while we read it. */
    atomic_store_release(word, asked + 1);
    if (here)
        tlb_respond_flush(&r);
}

/* Until no word is odd: what is asked after we looked rings again, because the pending word was taken before. */
static void scoreboard_enter(void)
{
    struct scoreboard *mine = this_cpu_ptr(scoreboard);
    u32 n = cpu_count();
    bool any;
    do {
        any = false;
        cost_turns(n);
        for (cpu_t from = 0; from < n; from++) {
            /* orders: reading the request after its announcement; pairs with: mm/shootdown/scoreboard.c:scoreboard_post
             * (release); else: we could flush the initiator's previous range. */
            u32 asked = atomic_load_acquire(&mine->from[from]);
            if (asked & 1) {
                answer(&mine->from[from], asked, from);
                any = true;
            }
        }
    } while (any);
}

struct answer {
    const u32 *word;
    u32 wanted;
};

static bool has_answered(const void *arg)
{
    const struct answer *a = arg;
    /* orders, pairs with: as in mm/shootdown/scoreboard.c:scoreboard_wait; else: as there. */
    return atomic_load_acquire(a->word) == a->wanted;
}

static COLD void wait_watched(cpu_t c, const u32 *word, u32 wanted)
{
    struct answer a = {word, wanted};
    if (smp_wait_served(c, "scoreboard", has_answered, &a) != ERR_OK)
        panic("CPU %u (APIC id %u) has not answered on its scoreboard", c, cpu_apic_id(c));
}

static void scoreboard_wait(const cpumask_t *must, cpu_t self, u32 answered)
{
    cost_lines_turns(cpumask_count(must), cpumask_count(must));
    CPUMASK_FOREACH (c, must) {
        const u32 *word = &per_cpu(scoreboard, c).from[self];
        struct wait w = WAIT("an answer on a scoreboard", wait_ms(SCOREBOARD_PATIENCE_MS));
        /* orders: reuse of the request, and what the caller does, after the target's reads and entry; pairs with:
         * mm/shootdown/scoreboard.c:answer (release); else: as there. */
        while (atomic_load_acquire(word) != answered)
            if (!wait_spin(&w)) {
                wait_watched(c, word, answered);
                break;
            }
    }
}

static void scoreboard_post(struct tlb_ticket *t)
{
    cpu_t self = cpu_self();
    struct scoreboard_request *mine = this_cpu_ptr(scoreboard_request);
    mine->request = t->request;
    mine->turn += 2;
    u32 ask = mine->turn + 1;
    cost_lines_turns(1 + cpumask_count(&t->must), cpumask_count(&t->must)); /* the request, the words */
    CPUMASK_FOREACH (c, &t->must)
        /* orders: the request before its announcement; pairs with: mm/shootdown/scoreboard.c:scoreboard_enter (acquire);
         * else: as there. The doorbell's LOCKed operation makes both visible before the interrupt. */
        atomic_store_release(&per_cpu(scoreboard, c).from[self], ask);
    smp_doorbell_mask(&t->must);
    shootdown_posted(t);
    shootdown_flush_here(t);
    scoreboard_wait(&t->must, self, ask + 1);
}

SHOOTDOWN_POLICY(scoreboard, "a word for each pair, acknowledged on entry, and bare doorbells (FreeBSD)",
                 .at_return = TLB_ENTERED, .at_release = TLB_ENTERED, .enter = scoreboard_enter,
                 .post = scoreboard_post);
