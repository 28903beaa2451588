/* The layout of lines from before their consolidation: opt= without `line`.
 *
 * From: Linux before 5.13, as the EuroSys 2020 paper found it. The message that a target takes from its queue points to the request,
 * which lies in a line of the initiator's (flush_tlb_info); and before the initiator tells a CPU it looks whether that one is lazy, in
 * a line that the target writes in each flush (cpu_tlbstate). The series put the request into the message, and took the state out
 * of what targets write. Volley has been so from the start: here is what it saves.
 *
 *   line                     its writer                      its readers
 *   split_request            the initiator, once             every target, on entry
 *   split_state              a target, after its flush       the initiator, before it tells that target
 *
 * That is 3n + 1 moves of lines for n targets more than with `line`: the request taken back from those who have read it, once, and read
 * by each; each target's state, read and written again.
 *
 * A target reads the request before it acknowledges, and the initiator does not write to it again before all that were told of the
 * last have acknowledged: it may have returned earlier, because a CPU that leaves the space is not waited for. Linux has the
 * same wait (csd_lock). */
#include "mm/split.h"

#include "lib/assert.h"
#include "lib/cost.h"
#include "lib/counter.h"
#include "mm/respond.h"
#include "mm/space.h"

COUNTER(shootdown_split, "shootdowns whose request lay in a line of its own (opt= without line)");
COUNTER(shootdown_split_skipped, "targets of these that had left the space meanwhile, and were not told");

bool split_layout;

#define REQUEST_WORDS 4u /* what tlb_request_pack fills */

/* Written by its CPU, read by the CPUs that it tells. */
struct split_request {
    u64 word[REQUEST_WORDS];
} CACHE_ALIGNED;
static PERCPU(struct split_request, split_request);

/* Written by its CPU in each flush that it was told of; read by initiators. */
struct split_state {
    tlb_gen_t flushed; /* the last generation that it was told of, of whatever space */
    u64 lazy;          /* then it ran in no space */
} CACHE_ALIGNED;
static PERCPU(struct split_state, split_state);

/* Whom this CPU has told of its last request. Its own. */
static PERCPU(cpumask_t, split_told);

static void respond(struct msg_in *in)
{
    const struct split_request *from = (const struct split_request *)in->word[0];
    struct split_state *me = this_cpu_ptr(split_state);
    u64 word[MSG_WORDS] = {0};
    /* All of it before the acknowledgement, by which the line is the initiator's again. */
    for (u32 i = REQUEST_WORDS; i--;)
        word[i] = atomic_load_relaxed(&from->word[i]);
    tlb_gen_t gen = word[1];
    cost_line(); /* the request */
    struct msg_in here = {.word = word, .slot = in->slot, .from = in->from, .acked = in->acked};
    tlb_respond(&here);
    in->acked = here.acked;
    cost_line(); /* our state, at which initiators look */
    atomic_store_relaxed(&me->flushed, gen);
    atomic_store_relaxed(&me->lazy, this_cpu(tlb_loaded) == NULL);
}
MSG_KIND(tlb_flush_split, respond);

/* A CPU that was in no space when it was last told may be left alone, if it has left this one since `must` was read: when it comes back
 * it finds the generation. Freed tables concern those too that only borrow. */
static bool may_be_skipped(const struct tlb_ticket *t, cpu_t c)
{
    return atomic_load_relaxed(&per_cpu(split_state, c).lazy) && t->request.level < TLB_WALKERS &&
           !cpumask_test_relaxed(&t->request.space->active, c);
}

/* Until nobody reads our line any more. Nearly always so: who returns from a shootdown has waited for more. A line that holds another
 * message by now is done with ours. */
static void wait_for_readers(cpumask_t *told)
{
    CPUMASK_FOREACH (c, told) {
        const struct msg_slot *s = msg_slot_to(c);
        if (unlikely(!slot_done(s, slot_posted(s))) && slot_kind((u32)s->body.what) == &tlb_flush_split &&
            msg_wait(c) != ERR_OK)
            panic("a shootdown's request is still being read by CPU %u (APIC id %u)", c, cpu_apic_id(c));
    }
}

void split_send(struct tlb_ticket *t, enum tlb_level ack)
{
    u64 word[MSG_WORDS];
    struct split_request *mine = this_cpu_ptr(split_request);
    cpumask_t *told = this_cpu_ptr(split_told);
    counter_inc(shootdown_split);
    wait_for_readers(told);
    cpumask_clear(told);
    CPUMASK_FOREACH (c, &t->must) {
        if (may_be_skipped(t, c))
            counter_inc(shootdown_split_skipped);
        else
            cpumask_set(told, c);
    }
    tlb_request_pack(&t->request, ack, word);
    for (u32 i = 0; i < REQUEST_WORDS; i++)
        atomic_store_relaxed(&mine->word[i], word[i]);
    /* The targets' states; our line, which the targets of the last request have read. */
    cost_lines_turns(cpumask_count(&t->must) + 1, cpumask_count(&t->must));
    /* The line comes before the message: by F1, as all that the sender has written before it posts. */
    struct msg m = {.kind = &tlb_flush_split, .flags = MSG_OWN_ACK, .word = {(u64)mine}};
    msg_post_mask(told, &m, &t->by_word);
    CPUMASK_FOREACH (c, &t->by_word)
        shootdown_tell_by_word(c);
    shootdown_posted(t);
}

void split_send_if_chosen(struct tlb_ticket *t, enum tlb_level ack)
{
    if (unlikely(split_layout))
        split_send(t, ack);
    else
        shootdown_send(t, ack);
}
