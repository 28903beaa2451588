/* What a CPU does when it is told to forget: step 9 of a shootdown, and the flush-everything word. */
#include "mm/respond.h"

#include "lib/counter.h"
#include "lib/x86/fence.h"
#include "mm/space.h"
#include "mm/tlb_local.h"

COUNTER(tlb_requests, "flush requests taken from messages");
COUNTER(tlb_request_not_loaded, "of these, for a space that was not loaded any more");
COUNTER(tlb_request_late, "of these, already covered by an earlier flush");
COUNTER(tlb_flush_by_word, "flushes asked for by the flush-everything word");

PERCPU(struct space *, tlb_loaded);
PERCPU(bool, tlb_switching);
PERCPU(u32, tlb_pending);

/* The word that is set when a line is full: requests are counted, so that none is lost and each is acknowledged. */
struct tlb_word {
    u64 asked; /* raised by others, atomically */
    u64 done;  /* the value of `asked` that the last flush of everything has served; this CPU's own */
} CACHE_ALIGNED;
static PERCPU(struct tlb_word, tlb_word);

/* word[3]: pages, stride and the level of the flush and of the acknowledgement, a field each */
#define PACK_STRIDE_SHIFT 32
#define PACK_LEVEL_SHIFT  40
#define PACK_ACK_SHIFT    48

void tlb_request_pack(const struct tlb_request *r, enum tlb_level ack, u64 word[MSG_WORDS])
{
    word[0] = (u64)r->space;
    word[1] = r->gen;
    word[2] = r->start;
    word[3] = r->pages | (u64)r->stride << PACK_STRIDE_SHIFT | (u64)r->level << PACK_LEVEL_SHIFT |
              (u64)ack << PACK_ACK_SHIFT;
    word[4] = word[5] = 0;
}

/* Raises one of this CPU's words to gen, never lowers it: a nested NMI may have published a later one. */
static ALWAYS_INLINE void publish(tlb_gen_t *word, tlb_gen_t gen)
{
    if (likely(*word < gen)) {
        /* orders: this CPU's accesses through the old translation, and its flush, before the word; pairs with:
         * mm/respond.h:tlb_published (acquire); else: an initiator could reuse memory that we still access. */
        atomic_store_release(word, gen);
    }
}

void tlb_publish_all(struct tlb_cpu *c, tlb_gen_t gen)
{
    publish(&c->entered, gen);
    publish(&c->flushed, gen);
    publish(&c->walkers, gen);
}

static void flush_whole(struct space *s)
{
    if (s == &kernel_space)
        tlb_flush_all_local();
    else
        tlb_flush_space_local();
}

void tlb_catch_up(const struct tlb_request *r)
{
    struct space *s = r->space;
    struct tlb_cpu *me = &s->cpu[cpu_self()];

    if (unlikely(r->gen <= me->flushed && (r->level < TLB_WALKERS || r->gen <= me->walkers))) {
        counter_inc(tlb_request_late);
        return;
    }
    /* orders: this read before the flush, so that what we publish was covered by it; pairs with:
     * mm/ticket.c:ticket_close (the generation's LOCKed increment, after the entry has changed); else: a change made
     * between the flush and the read would be published as forgotten. */
    tlb_gen_t now = atomic_load_acquire(&s->gen);
    /* One by one only if this request is the very next change and the last: with a gap, entries that nobody names here would
     * be published as forgotten; with more to come, one flush of everything serves all of them. */
    if (r->level < TLB_WALKERS && r->gen == me->flushed + 1 && now == r->gen &&
        r->pages <= shootdown_ceiling) {
        tlb_flush_range_local(r->start, r->pages, r->stride);
        publish(&me->entered, now);
        publish(&me->flushed, now);
    } else {
        flush_whole(s);
        tlb_publish_all(me, now);
    }
}

/* IPI context, or NMI. Words stay readable after msg_ack: the message is sent with MSG_OWN_ACK when it is to be
 * acknowledged on entry, and then lies in a copy. */
static void tlb_flush_received(struct msg_in *in)
{
    u64 packed = in->word[3];
    struct tlb_request r = {
        .space = (struct space *)in->word[0],
        .gen = in->word[1],
        .start = in->word[2],
        .pages = (u32)packed,
        .stride = (enum pt_size)(packed >> PACK_STRIDE_SHIFT & 0xff),
        .level = (enum tlb_level)(packed >> PACK_LEVEL_SHIFT & 0xff),
    };

    counter_inc(tlb_requests);
    /* A space that has been left needs nothing: its entries cannot be used before space_load brings us up to date. The
     * pointer is only compared: the space may be gone. */
    if (unlikely(r.space != this_cpu(tlb_loaded) && r.space != &kernel_space)) {
        counter_inc(tlb_request_not_loaded);
        return;
    }

    /* From here until the flush, an NMI on this CPU must not touch user memory: raised before anyone is told. */
    this_cpu(tlb_pending)++;
    compiler_barrier();
    if ((packed >> PACK_ACK_SHIFT & 0xff) == TLB_ENTERED) {
        publish(&r.space->cpu[cpu_self()].entered, r.gen);
        msg_ack(in);
    }
    tlb_catch_up(&r);
    compiler_barrier();
    this_cpu(tlb_pending)--;
}
TABLE_ENTRY(msg_kind, struct msg_kind, tlb_flush_kind) = {.name = "tlb_flush", .fn = tlb_flush_received};
const struct msg_kind *const tlb_flush_message = &tlb_flush_kind;

void tlb_flush_all_by_word(cpu_t cpu)
{
    /* LOCKed, so the changed entry and the raised generation are visible before the request is; pairs with:
     * mm/respond.c:serve_word. */
    atomic_fetch_add(&per_cpu(tlb_word, cpu).asked, 1);
    smp_doorbell(cpu);
}

/* At the end of every drain: usually two loads and a branch. */
static void serve_word(void)
{
    struct tlb_word *w = this_cpu_ptr(tlb_word);
    /* orders: this read before the generations are read below; pairs with: mm/respond.c:tlb_flush_all_by_word (LOCKed);
     * else: we could acknowledge a request with a generation from before its change. */
    u64 asked = atomic_load_acquire(&w->asked);
    if (likely(asked == w->done))
        return;

    counter_inc(tlb_flush_by_word);
    this_cpu(tlb_pending)++;
    compiler_barrier();
    struct space *s = this_cpu(tlb_loaded);
    /* orders: both reads before the flush; pairs with: mm/ticket.c:ticket_close (LOCKed increment); else: a change made
     * after the flush would be published as forgotten. */
    tlb_gen_t kernel_gen = atomic_load_acquire(&kernel_space.gen);
    tlb_gen_t gen = s ? atomic_load_acquire(&s->gen) : 0;
    tlb_flush_all_local();
    tlb_publish_all(&kernel_space.cpu[cpu_self()], kernel_gen);
    if (s)
        tlb_publish_all(&s->cpu[cpu_self()], gen);
    w->done = asked;
    compiler_barrier();
    this_cpu(tlb_pending)--;
}
DOORBELL_HOOK(tlb_word_hook, serve_word);

bool nmi_user_access_ok(void)
{
    return this_cpu(tlb_pending) == 0 && !this_cpu(tlb_switching) && this_cpu(tlb_loaded) != NULL;
}
