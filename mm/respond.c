/* What a CPU does to forget, when it is told to (step 9 of a shootdown, and the flush-everything word) and for itself (7). */
#include "mm/respond.h"

#include "lib/context.h"
#include "lib/counter.h"
#include "lib/patch.h"
#include "lib/stop_point.h"
#include "lib/x86/fence.h"
#include "mm/space.h"
#include "mm/tlb_local.h"
#include "mm/tlb_record.h"

COUNTER(tlb_requests, "flush requests taken from messages");
COUNTER(tlb_request_not_loaded, "of these, for a space that the CPU did not run in any more");
COUNTER(tlb_request_late, "of these, already covered by an earlier flush");
COUNTER(tlb_flush_by_word, "flushes asked for by the flush-everything word");

PERCPU(u32, tlb_pending);

/* The word that is set when a line is full: requests are counted, so that none is lost and each is acknowledged. */
struct tlb_word {
    u64 asked; /* raised by others, atomically */
    u64 done;  /* the value of `asked` that the last flush of everything has served; this CPU's own */
} CACHE_ALIGNED;
static PERCPU(struct tlb_word, tlb_word);

/* Raises one of this CPU's words to gen, never lowers it: requests do not come in the order of their generations. Interrupts
 * off; not in NMI context, which could come between the look and the store. */
static ALWAYS_INLINE void publish(tlb_gen_t *word, tlb_gen_t gen)
{
    if (likely(*word < gen)) {
        /* orders: this CPU's accesses through the old translation, and its flush, before the word; pairs with:
         * mm/respond.h:tlb_published (acquire); else: an initiator could reuse memory that we still access. */
        atomic_store_release(word, gen);
    }
}

void tlb_publish_all(struct space *s, tlb_gen_t gen)
{
    struct tlb_cpu *c = &s->cpu[cpu_self()];
    tlb_record_publish(s, gen);
    publish(&c->entered, gen);
    publish(&c->flushed, gen);
    publish(&c->walkers, gen);
}

void tlb_publish_flushed(struct space *s, tlb_gen_t gen)
{
    struct tlb_cpu *c = &s->cpu[cpu_self()];
    tlb_record_publish(s, gen);
    publish(&c->entered, gen);
    publish(&c->flushed, gen);
}

static COLD void flush_whole(const struct space *s)
{
    if (s == &kernel_space)
        tlb_flush_all_local();
    else
        tlb_flush_space_local();
}

/* The line is given back before the word is published, so that whoever has seen the word can post again at once. */
static ALWAYS_INLINE void acknowledge(struct msg_in *in)
{
    if (in)
        msg_ack(in);
}

/* Under a cost model: the generation, which the initiator raised, and our words, which it looks at. */
static ALWAYS_INLINE void charge_lines(const struct msg_in *in)
{
    if (in)
        cost_lines(2);
}

/* Inlined twice, with everything in registers: this is what the initiator waits for. */
static ALWAYS_INLINE void catch_up(struct msg_in *in, struct space *s, struct tlb_cpu *me, tlb_gen_t gen,
                                   vaddr_t start, u32 pages, enum pt_size stride, enum tlb_level level)
{
    tlb_gen_t flushed = me->flushed;

    if (unlikely(gen <= flushed) && (level < TLB_WALKERS || gen <= me->walkers)) {
        counter_inc(tlb_request_late);
        return;
    }
    /* orders: this read before the flush, so that what we publish was covered by it; pairs with:
     * mm/ticket.c:ticket_close (the generation's LOCKed increment, after the entry has changed); else: a change made
     * between the flush and the read would be published as forgotten. */
    tlb_gen_t now = atomic_load_acquire(&s->gen);
    /* One by one only if this request is the very next change and the last: with a gap, entries that nobody names here would
     * be published as forgotten; with more to come, one flush of everything serves all of them. */
    if (likely(level < TLB_WALKERS && gen == flushed + 1 && now == gen && pages <= shootdown_ceiling)) {
        tlb_flush_range_local(start, pages, stride);
        STOP_POINT(STOP_FLUSHED);
        charge_lines(in);
        acknowledge(in);
        tlb_record_publish(s, now);
        publish(&me->entered, now);
        publish(&me->flushed, now);
    } else {
        flush_whole(s);
        STOP_POINT(STOP_FLUSHED);
        charge_lines(in);
        acknowledge(in);
        tlb_publish_all(s, now);
    }
}

void shootdown_flush_here(struct tlb_ticket *t)
{
    if (!t->here_done) {
        const struct tlb_request *r = &t->request;
        irq_disable(); /* a request from another CPU must not come between our reading the words and raising them */
        catch_up(NULL, r->space, &r->space->cpu[cpu_self()], r->gen, r->start, r->pages, r->stride, r->level);
        irq_enable();
        t->here_done = true;
    }
    STOP_POINT(STOP_LOCAL);
    if (patch_enabled(PATCH_TIMES))
        t->times.t[TLB_T_LOCAL] = rdtsc_ordered();
}

/* A space that has been left needs nothing: its entries cannot be used before space_load brings us up to date. One that is only
 * borrowed neither, unless tables go: those the walker may still follow. The pointer is only compared: the space may be gone. */
static COLD void not_running_in(const struct space *s, enum tlb_level level)
{
    counter_inc(tlb_request_not_loaded);
    if (s == this_cpu(tlb_borrowed) && level >= TLB_WALKERS)
        space_give_up();
}

/* Not NMI, because of publish. The words are read before the acknowledgement: after it they are the sender's. */
void tlb_respond(struct msg_in *in)
{
    struct space *s = (struct space *)in->word[0];
    tlb_gen_t gen = in->word[1];
    vaddr_t start = in->word[2];
    u64 packed = in->word[3];

    DEBUG_ASSERT(!context_is_nmi(), "flush requests go by ordinary interrupt");
    counter_inc(tlb_requests);
    enum tlb_level level = (enum tlb_level)(u8)(packed >> TLB_PACK_LEVEL);
    if (unlikely(s != this_cpu(tlb_loaded) && s != &kernel_space)) {
        not_running_in(s, level);
        return;
    }
    struct tlb_cpu *me = &s->cpu[cpu_self()];

    /* From here until the flush, an NMI on this CPU must not touch user memory: raised before anyone is told. */
    this_cpu(tlb_pending)++;
    STOP_POINT(STOP_PENDING); /* a barrier for the compiler too */
    if ((u8)(packed >> TLB_PACK_ACK) == TLB_ENTERED) {
        msg_ack(in);
        cost_line(); /* our words, which the initiator looks at */
        publish(&me->entered, gen);
        STOP_POINT(STOP_ACKED);
    }
    catch_up(in, s, me, gen, start, (u32)packed, (enum pt_size)(u8)(packed >> TLB_PACK_STRIDE), level);
    STOP_POINT(STOP_PUBLISHED); /* the same */
    this_cpu(tlb_pending)--;
}
TABLE_ENTRY(msg_kind, struct msg_kind, tlb_flush_kind) = {.name = "tlb_flush", .fn = tlb_respond};
const struct msg_kind *const tlb_flush_message = &tlb_flush_kind;

bool tlb_respond_enter(const struct tlb_request *r)
{
    counter_inc(tlb_requests);
    if (r->space != this_cpu(tlb_loaded) && r->space != &kernel_space) {
        not_running_in(r->space, r->level);
        return false;
    }
    this_cpu(tlb_pending)++;
    STOP_POINT(STOP_PENDING);
    cost_line(); /* our words, which the initiator looks at */
    publish(&r->space->cpu[cpu_self()].entered, r->gen);
    STOP_POINT(STOP_ACKED);
    return true;
}

void tlb_respond_flush(const struct tlb_request *r)
{
    cost_line(); /* the generation */
    catch_up(NULL, r->space, &r->space->cpu[cpu_self()], r->gen, r->start, r->pages, r->stride, r->level);
    STOP_POINT(STOP_PUBLISHED);
    this_cpu(tlb_pending)--;
}

void tlb_flush_all_by_word(cpu_t cpu)
{
    /* LOCKed, so the changed entry and the raised generation are visible before the request is; pairs with:
     * mm/respond.c:serve_word. */
    atomic_fetch_add(&per_cpu(tlb_word, cpu).asked, 1);
    smp_doorbell(cpu);
}

struct asked {
    cpu_t cpu;
    u64 number;
};

static bool is_served(const void *arg)
{
    const struct asked *a = arg;
    /* orders: our looks at what the CPU has published after its flush; pairs with: mm/respond.c:serve_word (release); else: we could find
     * it behind when it has served us. */
    return atomic_load_acquire(&per_cpu(tlb_word, a->cpu).done) >= a->number;
}

COLD err_t tlb_wait_word(cpu_t cpu)
{
    struct asked a = {cpu, atomic_load_relaxed(&per_cpu(tlb_word, cpu).asked)};
    return smp_wait_served(cpu, "flush everything", is_served, &a);
}

void tlb_flush_everything(void (*entered)(void))
{
    this_cpu(tlb_pending)++;
    STOP_POINT(STOP_PENDING);
    struct space *s = this_cpu(tlb_loaded);
    cost_lines(2); /* the generation, our words */
    /* orders: both reads before the flush; pairs with: mm/ticket.c:ticket_close (LOCKed increment); else: a change made
     * after the flush would be published as forgotten. */
    tlb_gen_t kernel_gen = atomic_load_acquire(&kernel_space.gen);
    tlb_gen_t gen = s ? atomic_load_acquire(&s->gen) : 0;
    if (entered) {
        publish(&kernel_space.cpu[cpu_self()].entered, kernel_gen);
        if (s)
            publish(&s->cpu[cpu_self()].entered, gen);
        entered();
        STOP_POINT(STOP_ACKED);
    }
    tlb_flush_all_local();
    STOP_POINT(STOP_FLUSHED);
    /* Nobody says what for, and freed tables may be it. */
    if (this_cpu(tlb_borrowed))
        space_give_up();
    tlb_publish_all(&kernel_space, kernel_gen);
    if (s)
        tlb_publish_all(s, gen);
    STOP_POINT(STOP_PUBLISHED);
    this_cpu(tlb_pending)--;
}

void tlb_flush_all_here(void)
{
    bool was_on = irq_save();
    tlb_flush_everything(NULL);
    irq_restore(was_on);
}

void tlb_catch_up_loaded(void)
{
    struct space *s = this_cpu(tlb_loaded);
    if (!s)
        return;
    struct tlb_cpu *me = &s->cpu[cpu_self()];
    /* orders: this read before the flush; pairs with: mm/ticket.c:ticket_close (LOCKed increment); else: a change made after
     * the flush would be published as forgotten. */
    tlb_gen_t now = atomic_load_acquire(&s->gen);
    if (me->flushed >= now && me->walkers >= now)
        return;
    cost_lines(2); /* the generation, our words */
    this_cpu(tlb_pending)++;
    compiler_barrier();
    tlb_flush_space_local();
    tlb_publish_all(s, now);
    compiler_barrier();
    this_cpu(tlb_pending)--;
}

void tlb_publish_what_nmi_has(struct space *s)
{
    bool was_on = irq_save();
    struct tlb_cpu *me = &s->cpu[cpu_self()];
    tlb_gen_t gen = atomic_load_relaxed(&me->nmi_flushed);
    if (gen > me->flushed && (s == this_cpu(tlb_loaded) || s == &kernel_space)) {
        tlb_record_flushed_by_nmi(s, gen);
        publish(&me->entered, gen);
        publish(&me->flushed, gen);
    }
    irq_restore(was_on);
}

void tlb_publish_entered(struct space *s, tlb_gen_t gen)
{
    publish(&s->cpu[cpu_self()].entered, gen);
}

/* Whenever a bare doorbell was rung: usually two loads and a branch. */
static void serve_word(void)
{
    struct tlb_word *w = this_cpu_ptr(tlb_word);
    /* orders: this read before the generations are read below; pairs with: mm/respond.c:tlb_flush_all_by_word (LOCKed);
     * else: we could acknowledge a request with a generation from before its change. */
    u64 asked = atomic_load_acquire(&w->asked);
    if (likely(asked == w->done))
        return;

    counter_inc(tlb_flush_by_word);
    tlb_flush_everything(NULL);
    /* orders: what the flush has published before the number; pairs with: mm/respond.c:is_served (acquire); else: as there. */
    atomic_store_release(&w->done, asked);
}
DOORBELL_HOOK(tlb_word_hook, serve_word);

/* Policies that keep words of their own. */
static void serve_policies(void)
{
    TABLE_FOREACH (policy, struct shootdown_policy, p)
        if (p->enter)
            p->enter();
}
DOORBELL_HOOK(tlb_policy_hook, serve_policies);

bool nmi_user_access_ok(const struct space *s)
{
    return this_cpu(tlb_pending) == 0 && !this_cpu(tlb_switching) && s && s == this_cpu(tlb_loaded);
}
