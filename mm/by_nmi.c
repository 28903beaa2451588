/* Shootdowns delivered by NMI: both sides.
 *
 * An NMI reaches a CPU that has its interrupts off, so the initiator waits for no critical section of the target. For that, the
 * handler may come between any two instructions of the kernel but those of another NMI's handler. Hence:
 *
 *   - It takes no lock, waits for nobody, and calls nothing that does. It has no stop point: code is patched while NMIs come.
 *   - It publishes in words of its own. mm/respond.c raises its words by a look and a store, between which an NMI could raise
 *     them further, and be undone. Nobody but this handler writes nmi_entered and nmi_flushed, and it is not nested.
 *   - It reads, but does not write, what belongs to interrupt and thread context: tlb_loaded, tlb_switching, `flushed`. Each of
 *     them may be out of date by the instructions that were interrupted, and is read so that this errs on the safe side: `flushed`
 *     is raised after the flush that it stands for. tlb_pending goes up and down again by one instruction each.
 *   - It flushes, at most too much. INVLPG concerns the loaded root, which is s's wherever s is in tlb_loaded and the root is not
 *     being changed. Everything else is forgotten with everything: INVPCID of all, or two changes of CR4.PGE, whatever PGE was
 *     when the NMI came (the interrupted code may be between its own two). PCIDs without INVPCID and without global pages would
 *     need the books of mm/pcid.c, which are not to be touched here: there nothing goes by NMI.
 *   - The flush comes before the IRET, so what was interrupted, a user-access section too, goes on with nothing old.
 *   - While the root is being changed, or where s is not loaded, it does nothing but acknowledge: a CPU that is just loading s
 *     may have read the generation from before the change. The initiator, who then sees neither the words nor an empty place
 *     in the mask, tells that CPU by its flush-everything word and an ordinary interrupt, which comes when the load is over.
 *
 * Freed tables are never delivered so: a CPU that borrows the root has to give it up, which is not for an NMI handler. */
#include "mm/by_nmi.h"

#include "lib/assert.h"
#include "lib/context.h"
#include "lib/counter.h"
#include "lib/features.h"
#include "lib/x86/tlb.h"
#include "mm/respond.h"
#include "mm/space.h"
#include "mm/ticket_internal.h"
#include "mm/tlb_local.h"

COUNTER(shootdown_by_nmi, "shootdowns delivered by NMI");
COUNTER(shootdown_not_by_nmi,
        "shootdowns under delivery=nmi by ordinary interrupt: the policy does not allow NMIs, or "
        "tables were freed");
COUNTER(shootdown_nmi_missed,
        "targets told again by ordinary interrupt, because the NMI found the space not loaded, or being "
        "loaded");
COUNTER(tlb_requests_by_nmi, "flush requests taken from NMIs");
DECLARE_PERCPU(u64, counter_tlb_flush_all);

#define CR4_PGE (1ull << 7)

/* ---- the target: NMI context ---- */

static void publish(tlb_gen_t *word, tlb_gen_t gen)
{
    if (*word < gen) {
        /* orders: this CPU's accesses through the old translation, and its flush, before the word; pairs with:
         * mm/respond.h:tlb_published_by_nmi (acquire); else: an initiator could reuse memory that we still access. */
        atomic_store_release(word, gen);
    }
}

static void flush_all(void)
{
    counter_inc(tlb_flush_all);
    if (features.invpcid) {
        invpcid(INVPCID_ALL_GLOBAL, 0, 0);
    } else if (features.pge) {
        u64 cr4 = cr4_read();
        cr4_write(cr4 ^ CR4_PGE);
        cost_cr3();
        cr4_write(cr4);
        cost_cr3();
    } else {
        cr3_write(cr3_read());
    }
}

static void flush_range(vaddr_t start, u32 pages, enum pt_size stride)
{
    counter_add(tlb_flush_pages, pages);
    cost_invlpgs(pages);
    for (u64 step = 1ull << stride; pages; pages--, start += step)
        invlpg_uncharged(start);
}

static void respond(struct msg_in *in)
{
    struct space *s = (struct space *)in->word[0];
    tlb_gen_t gen = in->word[1];
    vaddr_t start = in->word[2];
    u64 packed = in->word[3];
    u32 pages = (u32)packed;

    cost_nmi();
    counter_inc(tlb_requests_by_nmi);
    if (this_cpu(tlb_switching) || (s != this_cpu(tlb_loaded) && s != &kernel_space))
        return; /* and that acknowledges */
    struct tlb_cpu *me = &s->cpu[cpu_self()];
    this_cpu(tlb_pending)++;
    compiler_barrier();
    if ((u8)(packed >> TLB_PACK_ACK) == TLB_ENTERED) {
        publish(&me->nmi_entered, gen);
        cost_line();
        msg_ack(in);
    }
    tlb_gen_t flushed = MAX(atomic_load_relaxed(&me->flushed), me->nmi_flushed);
    if (gen > flushed) {
        /* orders: this read before the flush; pairs with: mm/ticket.c:ticket_close (LOCKed increment); else: a change made
         * after the flush would be published as forgotten. */
        tlb_gen_t now = atomic_load_acquire(&s->gen);
        if (gen == flushed + 1 && now == gen && pages <= shootdown_ceiling && !tlb_range_has_more)
            flush_range(start, pages, (enum pt_size)(u8)(packed >> TLB_PACK_STRIDE));
        else
            flush_all();
        publish(&me->nmi_entered, now);
        publish(&me->nmi_flushed, now);
    }
    compiler_barrier();
    this_cpu(tlb_pending)--;
}
TABLE_ENTRY(msg_kind, struct msg_kind, tlb_flush_nmi) = {.name = "tlb_flush_nmi", .fn = respond};
const struct msg_kind *const tlb_nmi_message = &tlb_flush_nmi;

/* ---- the initiator ---- */

bool by_nmi_serves(const struct tlb_ticket *t)
{
    if (!t->policy->under_nmi)
        return false;
    bool can = features.invpcid || features.pge || !features.pcid;
    if (t->policy->post_nmi && can && t->request.level < TLB_WALKERS) {
        tlb_publish_what_nmi_has(t->request.space);
        counter_inc(shootdown_by_nmi);
        return true;
    }
    counter_inc(shootdown_not_by_nmi);
    return false;
}

void by_nmi_wait(const struct tlb_ticket *t, enum tlb_level until)
{
    const struct space *s = t->request.space;
    shootdown_user_open(); /* those that we wait for may wait for us */
    CPUMASK_FOREACH (c, &t->must) {
        if (msg_wait(c) != ERR_OK)
            panic("a shootdown by NMI was never answered by CPU %u (APIC id %u)", c, cpu_apic_id(c));
        if (ticket_cpu_reached(s, c, t->request.gen, until))
            continue;
        if (!cpumask_test(&t->by_word, c)) {
            counter_inc(shootdown_nmi_missed);
            tlb_flush_all_by_word(c);
        }
        ticket_wait_watched(s, c, t->request.gen, until);
    }
    cost_lines(cpumask_count(&t->must)); /* the words, as their CPUs wrote them */
}

/* One copy for each policy, at its place in the table; filled once, because tickets point to them. */
#define COPIES_MAX 32u
static struct shootdown_policy copies[COPIES_MAX];

const struct shootdown_policy *by_nmi_path(const struct shootdown_policy *p)
{
    struct shootdown_policy *copy = copies;
    if (msg_delivery_get() != MSG_DELIVERY_NMI)
        return p;
    ASSERT(TABLE_SIZE(policy) <= COPIES_MAX, "there is a copy for each policy");
    TABLE_FOREACH (policy, struct shootdown_policy, at) {
        if (at == p)
            break;
        copy++;
    }
    if (!copy->name) {
        *copy = *p;
        copy->special = copy->under_nmi = true;
    }
    return copy;
}
