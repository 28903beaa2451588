#include "mm/tlb_record.h"

#ifdef VOLLEY_DEBUG

#include "lib/assert.h"
#include "lib/atomic.h"
#include "lib/features.h"
#include "lib/x86/cpu.h"
#include "mm/pcid.h"
#include "mm/respond.h"
#include "mm/space.h"
#include "mm/ticket_internal.h"
#include "mm/tlb_ghost.h"

/* The latest flushes of pages: between two publications there is one of the shootdown, and perhaps some of stale faults. */
#define RANGES 4u

struct tlb_record {
    u64 root;                  /* what CR3 has to be; 0 before the first load */
    const struct space *space; /* whose root that is; NULL: the kernel's */
    u64 loaded; /* its id; 0: the kernel's. Read by other CPUs, and so are `clean` and `walkers`. */
    struct held {
        u64 id;          /* of the space whose entries the PCID may hold; 0: none, or the kernel's root */
        tlb_gen_t clean; /* nothing older than this generation of it is among them */
        tlb_gen_t
            walkers;    /* the same of tables, which no flush of pages is trusted to make the walker forget */
        bool empty;     /* no entry at all: flushed while it was not loaded */
        bool forgotten; /* has to be flushed before it is used */
    } pcid[PCID_SLOTS_MAX + 1];
    tlb_gen_t kernel_clean,
        kernel_walkers; /* the same of the kernel's half, under all PCIDs that may be kept */
    struct range {
        vaddr_t start, end;
        enum pt_size stride;
    } range[RANGES];
    u32 ranges; /* flushed so far; the last RANGES of them are there */
};
static PERCPU(struct tlb_record, tlb_record);

static struct held *held_of(u64 cr3)
{
    u64 pcid = features.pcid ? cr3 & CR3_PCID & ~CR3_PCID_USER : 0;
    ASSERT(pcid <= PCID_SLOTS_MAX, "no CPU runs with a PCID that no slot has");
    return &this_cpu_ptr(tlb_record)->pcid[pcid];
}

/* What mm/tlb_ghost.c lets other CPUs look at. Nobody does on the simulated machine, and there it is no step of it. */
#if TLB_GHOST
#define show(p, v) atomic_store_relaxed(p, v)
#else
#define show(p, v) (*(p) = (v))
#endif

static void all_clean(tlb_gen_t *clean, tlb_gen_t *walkers, tlb_gen_t gen)
{
    show(clean, gen);
    show(walkers, gen);
}

static void check_root(void)
{
    u64 root = this_cpu_ptr(tlb_record)->root;
    ASSERT(!root || cr3_read() == root, "CR3 is what was loaded last");
}

static tlb_gen_t now(const struct space *s)
{
    /* orders: this read before the flush that follows; pairs with: mm/ticket.c:ticket_close (LOCKed increment); else: the record
     * would hold a change for covered that was made after the flush. */
    return s ? atomic_load_acquire(&s->gen) : 0;
}

void tlb_record_change(struct space *s, tlb_gen_t gen, const struct tlb_request *r, vaddr_t end)
{
    struct tlb_change *c = &s->history[gen % TLB_HISTORY];
    atomic_store_relaxed(&c->gen, 0);
    compiler_barrier();
    atomic_store_relaxed(&c->start, r->start);
    atomic_store_relaxed(&c->end, end);
    atomic_store_relaxed(&c->stride, r->stride);
    atomic_store_relaxed(&c->level, r->level);
    /* orders: the change before its number; pairs with: mm/tlb_record.c:change_of (acquire); else: a CPU would be held to half
     * of another change. */
    atomic_store_release(&c->gen, gen);
}

/* False: it has been overwritten. */
static bool change_of(const struct space *s, tlb_gen_t gen, struct tlb_change *out)
{
    const struct tlb_change *c = &s->history[gen % TLB_HISTORY];
    /* orders: the number before the change; pairs with: mm/tlb_record.c:tlb_record_change (release); else: as there. */
    out->gen = atomic_load_acquire(&c->gen);
    out->start = atomic_load_relaxed(&c->start);
    out->end = atomic_load_relaxed(&c->end);
    out->stride = atomic_load_relaxed(&c->stride);
    out->level = atomic_load_relaxed(&c->level);
    compiler_barrier();
    bool whole = atomic_load_relaxed(&c->gen) == out->gen;
    ASSERT(!whole || !out->gen || out->gen >= gen,
           "every generation has a change, recorded before it is raised");
    return whole && out->gen == gen;
}

void tlb_record_root(const struct space *s, u64 cr3)
{
    struct tlb_record *me = this_cpu_ptr(tlb_record);
    struct held *h = held_of(cr3);
    check_root();
    if (cr3 & CR3_KEEP) {
        ASSERT(!h->forgotten, "a PCID that has to be flushed is not kept");
        ASSERT(h->empty || h->id == (s ? s->id : 0),
               "a PCID is kept only for the space whose entries it holds");
        ASSERT(!s || h->empty || h->clean >= s->cpu[cpu_self()].flushed,
               "entries are kept only if they have been flushed as far as was published");
        ASSERT(!TLB_GHOST || !s || h->empty || h->clean >= atomic_load_relaxed(&s->released),
               "entries are kept only if nothing that they may be of has been given back");
    }
    show(&me->loaded, 0); /* until all is said again */
    compiler_barrier();
    if (!(cr3 & CR3_KEEP) || h->empty)
        all_clean(&h->clean, &h->walkers, now(s));
    h->id = s ? s->id : 0;
    h->empty = h->forgotten = false;
    me->space = s;
    me->ranges = 0;
    show(&me->root, cr3 & ~CR3_KEEP);
    compiler_barrier(); /* x86 keeps stores in order, and loads: mm/tlb_record.c:tlb_record_may_hold */
    show(&me->loaded, h->id);
}

void tlb_record_flush_space(void)
{
    check_root();
    struct held *h = held_of(this_cpu_ptr(tlb_record)->root);
    all_clean(&h->clean, &h->walkers, now(this_cpu_ptr(tlb_record)->space));
}

void tlb_record_flush_all(void)
{
    struct tlb_record *me = this_cpu_ptr(tlb_record);
    struct held *loaded = held_of(me->root);
    check_root();
    for (u32 i = 0; i <= PCID_SLOTS_MAX; i++)
        if (&me->pcid[i] != loaded)
            me->pcid[i].empty = true;
    all_clean(&loaded->clean, &loaded->walkers, now(me->space));
    all_clean(&me->kernel_clean, &me->kernel_walkers, now(&kernel_space));
}

void tlb_record_others_forgotten(void)
{
    struct tlb_record *me = this_cpu_ptr(tlb_record);
    struct held *loaded = held_of(me->root);
    for (u32 i = 0; i <= PCID_SLOTS_MAX; i++)
        if (&me->pcid[i] != loaded)
            me->pcid[i].forgotten = true;
}

void tlb_record_flush_all_but_others(void)
{
    struct tlb_record *me = this_cpu_ptr(tlb_record);
    check_root();
    for (u32 i = 0; i <= PCID_SLOTS_MAX; i++)
        ASSERT(&me->pcid[i] == held_of(me->root) || me->pcid[i].forgotten || !features.pcid,
               "a flush of all leaves no PCID that may be kept");
    struct held *h = held_of(me->root);
    all_clean(&h->clean, &h->walkers, now(me->space));
    all_clean(&me->kernel_clean, &me->kernel_walkers, now(&kernel_space));
}

void tlb_record_flush_range(vaddr_t start, u32 pages, enum pt_size stride)
{
    struct tlb_record *me = this_cpu_ptr(tlb_record);
    check_root();
    me->range[me->ranges++ % RANGES] = (struct range){start, start + ((u64)pages << stride), stride};
}

static bool is_covered(const struct tlb_record *me, const struct tlb_change *c)
{
    for (u32 i = 0; i < MIN(me->ranges, RANGES); i++) {
        const struct range *r = &me->range[i];
        /* An INVLPG on each page of the smallest size that changed; end 0 is the end of the address space. */
        if (ALIGN_DOWN(r->start, 1ull << r->stride) <= c->start && r->end - 1 >= c->end - 1 &&
            r->stride <= c->stride)
            return c->level < TLB_WALKERS;
    }
    return false;
}

void tlb_record_publish(const struct space *s, tlb_gen_t gen)
{
    struct tlb_record *me = this_cpu_ptr(tlb_record);
    bool kernel = s == &kernel_space;
    ASSERT(kernel || s == me->space,
           "a CPU publishes for the space that it has loaded, and for the kernel's");
    tlb_gen_t *clean = kernel ? &me->kernel_clean : &held_of(me->root)->clean;
    ASSERT(gen <= now(s), "nobody publishes a generation that has not been made");
    for (tlb_gen_t g = *clean + 1; g <= gen; g++) {
        struct tlb_change c;
        if (change_of(s, g, &c)) /* else so much has happened since that nobody knows what it was */
            ASSERT(is_covered(me, &c), "what is published as flushed was flushed");
    }
    show(clean, MAX(*clean, gen));
    tlb_gen_t *walkers = kernel ? &me->kernel_walkers : &held_of(me->root)->walkers;
    /* Flushes of pages will do if no table has gone meanwhile. */
    if (TLB_GHOST && atomic_load_relaxed(&s->tables_gone) <= *walkers)
        show(walkers, MAX(*walkers, gen));
    me->ranges = 0;
}

void tlb_record_flushed_by_nmi(const struct space *s, tlb_gen_t gen)
{
    struct tlb_record *me = this_cpu_ptr(tlb_record);
    ASSERT(s == &kernel_space || s == me->space, "an NMI handler flushes what is loaded");
    ASSERT(gen <= now(s), "nobody publishes a generation that has not been made");
    tlb_gen_t *clean = s == &kernel_space ? &me->kernel_clean : &held_of(me->root)->clean;
    show(clean, MAX(*clean, gen));
}

/* A CPU that left the space and is just loading it again is in the mask, and has not published yet; but it does not run in it
 * either. Looked at more than once, because it may leave and load between our two looks. */
static bool may_be_reused_under(const struct space *s, cpu_t c, tlb_gen_t gen, enum tlb_level level)
{
    for (u32 looks = 0; looks < 8; looks++) {
        bool runs = s == &kernel_space || atomic_load_relaxed(&per_cpu(tlb_loaded, c)) == s;
        if (!runs || ticket_cpu_reached(s, c, gen, level))
            return true;
    }
    return false;
}

void tlb_record_release(const struct tlb_ticket *t)
{
    const struct space *s = t->request.space;
    if (t->policy->control)
        return;
    enum tlb_level level = MIN(t->policy->at_release, t->request.level);
    CPUMASK_FOREACH (c, &t->must)
        ASSERT(may_be_reused_under(s, c, t->request.gen, level),
               "memory is given back when every CPU that was to forget it has said so");
    ASSERT(level < TLB_FLUSHED || may_be_reused_under(s, cpu_self(), t->request.gen, level),
           "and when the CPU that gives it back has forgotten it too");
#if TLB_GHOST
    tlb_gen_t before = atomic_load_relaxed(&s->released);
    while (before < t->request.gen && !atomic_cmpxchg(&t->request.space->released, &before, t->request.gen))
        ;
#endif
}

#if TLB_GHOST
bool tlb_record_may_hold(cpu_t c, u64 id, tlb_gen_t gen, bool table)
{
    const struct tlb_record *r = &per_cpu(tlb_record, c);
    if (id == kernel_space.id)
        return atomic_load_relaxed(table ? &r->kernel_walkers : &r->kernel_clean) < gen;
    if (atomic_load_relaxed(&r->loaded) != id)
        return false;
    compiler_barrier();
    u64 pcid = features.pcid ? atomic_load_relaxed(&r->root) & CR3_PCID & ~CR3_PCID_USER : 0;
    const struct held *h = &r->pcid[pcid];
    bool may = atomic_load_relaxed(table ? &h->walkers : &h->clean) < gen;
    compiler_barrier();
    return may && atomic_load_relaxed(&r->loaded) == id;
}
#endif

#endif
