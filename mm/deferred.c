#include "mm/deferred.h"

#include "lib/assert.h"
#include "lib/context.h"
#include "lib/counter.h"
#include "lib/log.h"
#include "lib/patch.h"
#include "lib/wait.h"
#include "lib/x86/cpu.h"
#include "mm/respond.h"
#include "mm/ticket_internal.h"
#include "smp/cpus.h"

COUNTER(shootdown_deferred, "shootdowns that returned before memory could be given back");
COUNTER(shootdown_pool_empty, "shootdowns that waited, because every place for a deferred ticket was taken");

/* Enough for a burst of unmaps between two ticks, few enough to be looked through at each operation. */
#define PLACES 16u

enum place_state {
    PLACE_FREE,     /* the owner may take it */
    PLACE_FILLING,  /* the owner's alone */
    PLACE_DEFERRED, /* whoever changes this to RELEASING owns it */
    PLACE_RELEASING,
};

struct place {
    struct tlb_ticket ticket;
    u32 state;
    u32 ticks; /* of the owner that have found the ticket not ready */
    cpu_t owner;
    u64 completion; /* serial << COMPLETION_BITS | CPUs that are still to complete */
};
#define COMPLETION_BITS 16u
_Static_assert(MAX_CPUS < 1u << COMPLETION_BITS, "all CPUs can be counted");

struct places {
    struct place at[PLACES];
    u32 deferred; /* of them that are not FREE; raised by the owner, lowered by whoever releases */
};
static PERCPU(struct places, deferred_places);

struct tlb_ticket *deferred_take(void)
{
    struct places *mine = this_cpu_ptr(deferred_places);
    for (u32 i = 0; i < PLACES; i++) {
        struct place *p = &mine->at[i];
        /* orders: our filling of the place after its last ticket's release; pairs with: mm/deferred.c:release_taken
         * (release); else: a releaser could still read what we write. */
        if (atomic_load_acquire(&p->state) == PLACE_FREE) {
            atomic_store_relaxed(&p->state, PLACE_FILLING);
            p->owner = cpu_self();
            p->ticks = 0;
            atomic_fetch_add(&mine->deferred, 1);
            return &p->ticket;
        }
    }
    counter_inc(shootdown_pool_empty);
    return NULL;
}

void deferred_publish(struct tlb_ticket *t)
{
    struct place *p = container_of(t, struct place, ticket);
    DEBUG_ASSERT(p->state == PLACE_FILLING, "a place is filled once");
    counter_inc(shootdown_deferred);
    /* orders: the whole ticket before its state; pairs with: mm/deferred.c:take (LOCKed exchange); else: a
     * half-written ticket could be released. */
    atomic_store_release(&p->state, PLACE_DEFERRED);
}

/* True: a deferred ticket is the caller's until he changes the state again: nobody else reads or writes it. */
static ALWAYS_INLINE bool take(struct place *p)
{
    u32 deferred = PLACE_DEFERRED;
    return atomic_load_relaxed(&p->state) == PLACE_DEFERRED &&
           atomic_cmpxchg(&p->state, &deferred, PLACE_RELEASING);
}

/* The same, but one that somebody else has taken is waited for: he releases it, or puts it back, and soon, as he has preemption off. THREAD. */
static bool take_patiently(struct place *p)
{
    struct wait w = WAIT("another CPU's look at a deferred change", wait_ms(TICKET_LIMIT_MS));
    for (;;) {
        u32 state = atomic_load_relaxed(&p->state);
        if (state == PLACE_FREE || state == PLACE_FILLING)
            return false;
        if (state == PLACE_DEFERRED && atomic_cmpxchg(&p->state, &state, PLACE_RELEASING))
            return true;
        if (!wait_spin(&w))
            panic("%s has not ended for %u s", w.what, TICKET_LIMIT_MS / 1000);
    }
}

/* s: only if it is of that space; NULL: of any. `try`: the caller must not wait for the space's lock. */
static void release_taken(struct place *p, const struct space *s, bool try)
{
    bool released = (!s || p->ticket.request.space == s) && ticket_is_ready(&p->ticket) &&
                    ticket_release_deferred(&p->ticket, try);
    if (released) {
        if (patch_enabled(PATCH_TIMES))
            atomic_store_relaxed(&per_cpu(shootdown_times, p->owner).t[TLB_T_RELEASED], rdtsc_ordered());
        atomic_fetch_sub(&per_cpu(deferred_places, p->owner).deferred, 1);
    }
    /* orders: our use of the ticket before the state; pairs with: mm/deferred.c:deferred_take (acquire), or
     * mm/deferred.c:take (LOCKed exchange); else: its next user could write while we read. */
    atomic_store_release(&p->state, released ? PLACE_FREE : PLACE_DEFERRED);
}

static void try_release(struct place *p, const struct space *s, bool try)
{
    if (take(p))
        release_taken(p, s, try);
}

u64 deferred_count(struct tlb_ticket *t, u32 cpus)
{
    struct place *p = container_of(t, struct place, ticket);
    u64 serial = (atomic_load_relaxed(&p->completion) >> COMPLETION_BITS) + 1;
    atomic_store_relaxed(&p->completion, serial << COMPLETION_BITS | cpus);
    return serial;
}

void deferred_complete(struct tlb_ticket *t, u64 serial)
{
    struct place *p = container_of(t, struct place, ticket);
    u64 seen = atomic_load_relaxed(&p->completion);
    do {
        if (seen >> COMPLETION_BITS != serial)
            return; /* swept by somebody who looked at the words, and used again */
    } while (!atomic_cmpxchg(&p->completion, &seen, seen - 1));
    if ((seen & ((1u << COMPLETION_BITS) - 1)) == 1)
        try_release(p, NULL, true);
}

static void sweep(struct places *of, const struct space *s, bool try)
{
    if (!atomic_load_relaxed(&of->deferred))
        return;
    for (u32 i = 0; i < PLACES; i++)
        try_release(&of->at[i], s, try);
}

void deferred_sweep(void)
{
    sweep(this_cpu_ptr(deferred_places), NULL, false);
}

void deferred_sweep_irqoff(void)
{
    sweep(this_cpu_ptr(deferred_places), NULL, true);
}

u32 deferred_sweep_all(const struct space *s)
{
    u32 left = 0;
    for (cpu_t c = 0; c < cpu_count(); c++) {
        struct places *of = &per_cpu(deferred_places, c);
        preempt_disable(); /* whoever wants a ticket that we have taken waits for us */
        sweep(of, s, false);
        preempt_enable();
        left += atomic_load_relaxed(&of->deferred);
    }
    return left;
}

/* The CPUs that a ticket waits for; it may be released before they are told, then these are nobody's any more, which costs a flush too
 * many and no more. Taken. */
static void add_behind(const struct place *p, const struct space *s, cpumask_t *who)
{
    if (!s || p->ticket.request.space == s)
        for (cpu_t c = 0; (c = ticket_behind(&p->ticket, c)) != CPU_NONE; c++)
            cpumask_set(who, c);
}

static void put_back(struct place *p)
{
    /* orders: our reads of the ticket before the state; pairs with: mm/deferred.c:take (LOCKed exchange); else: it could be released and
     * refilled under our eyes. */
    atomic_store_release(&p->state, PLACE_DEFERRED);
}

/* Of all tickets deferred by now, also those that somebody looks at. */
static void find_behind(const struct space *s, cpumask_t *behind)
{
    cpumask_clear(behind);
    for (cpu_t c = 0; c < cpu_count(); c++) {
        struct places *of = &per_cpu(deferred_places, c);
        if (atomic_load_relaxed(&of->deferred))
            for (u32 i = 0; i < PLACES; i++)
                if (take_patiently(&of->at[i])) {
                    add_behind(&of->at[i], s, behind);
                    put_back(&of->at[i]);
                }
    }
}

static void pull(cpumask_t *behind)
{
    if (cpumask_test(behind, cpu_self())) {
        cpumask_unset(behind, cpu_self());
        tlb_flush_all_here();
    }
    CPUMASK_FOREACH (c, behind)
        ticket_pull(c);
}

/* A CPU that does not answer may have left the space in the end: then nobody needs its answer. */
static void wait_pulled(const struct space *s, cpu_t c)
{
    cpumask_t behind;
    if (tlb_wait_word(c) == ERR_OK)
        return;
    find_behind(s, &behind);
    if (cpumask_test(&behind, c))
        panic("what a policy has put off was never answered by CPU %u (APIC id %u): its memory can neither "
              "be reused nor kept",
              c, cpu_apic_id(c));
}

void deferred_pull(const struct space *s)
{
    cpumask_t behind;
    preempt_disable();
    find_behind(s, &behind);
    pull(&behind);
    /* All have been told; now the watchdog looks after one after the other. Not by the tickets: they may be released meanwhile, and
     * their spaces be gone. */
    CPUMASK_FOREACH (c, &behind)
        wait_pulled(s, c);
    preempt_enable();
}

bool deferred_here(void)
{
    return atomic_load_relaxed(&this_cpu_ptr(deferred_places)->deferred) != 0;
}

void deferred_pull_here(u32 late_after)
{
    struct places *mine = this_cpu_ptr(deferred_places);
    cpumask_t behind, late;
    cpumask_clear(&behind);
    cpumask_clear(&late);
    for (u32 i = 0; i < PLACES; i++) {
        struct place *p = &mine->at[i];
        if (!take(p))
            continue;
        add_behind(p, NULL, &behind);
        if (++p->ticks % late_after == 0)
            add_behind(p, NULL, &late);
        put_back(p);
    }
    pull(&behind);
    if (cpumask_empty(&late))
        return;
    CPUMASK_FOREACH (c, &late)
        log_warn("CPU %u (APIC id %u) does not forget what a policy has put off: it is rung anew", c,
                 cpu_apic_id(c));
    smp_ring_anew(&late);
}

/* The newest change of s that has begun. Numbered and listed under one hold of the lock, so that is_settled sees all up to it. */
static tlb_gen_t newest(struct space *s)
{
    preempt_disable();
    spin_lock(&s->lock);
    tlb_gen_t gen = atomic_load_relaxed(&s->gen);
    spin_unlock(&s->lock);
    preempt_enable();
    return gen;
}

static bool is_settled(struct space *s, tlb_gen_t gen)
{
    u32 left = deferred_sweep_all(s);
    if (!s)
        return left == 0;
    bool settled = true;
    preempt_disable();
    spin_lock(&s->lock);
    for (const struct tlb_ticket *t = s->in_flight; t; t = t->in_flight_next)
        settled &= t->request.gen > gen;
    spin_unlock(&s->lock);
    preempt_enable();
    return settled;
}

void shootdown_settle(struct space *s, u64 wait_us)
{
    ASSERT_MAY_WAIT();
    u64 start = rdtsc(), patience = tsc_from_us(wait_us);
    tlb_gen_t gen = s ? newest(s) : 0;
    shootdown_user_open(); /* those that we wait for may wait for us */
    struct wait w = WAIT("deferred changes to be released", wait_ms(TICKET_LIMIT_MS));
    while (!is_settled(s, gen)) {
        if (rdtsc() - start >= patience)
            deferred_pull(s);
        if (!wait_spin(&w))
            panic("%s: for over %u s", w.what, TICKET_LIMIT_MS / 1000);
    }
}

bool shootdown_reclaim(void)
{
    bool any = false;
    ASSERT_MAY_WAIT();
    for (cpu_t c = 0; c < cpu_count(); c++)
        any |= atomic_load_relaxed(&per_cpu(deferred_places, c).deferred) != 0;
    if (!any) /* the last of it may have come back since the caller looked */
        return shootdown_policy_defers(shootdown_policy());
    shootdown_user_open(); /* those that we wait for may wait for us */
    deferred_pull(NULL);
    preempt_disable();
    for (cpu_t c = 0; c < cpu_count(); c++) {
        struct places *of = &per_cpu(deferred_places, c);
        if (atomic_load_relaxed(&of->deferred))
            for (u32 i = 0; i < PLACES; i++)
                if (take_patiently(&of->at[i]))
                    release_taken(&of->at[i], NULL, false);
    }
    preempt_enable();
    return true;
}
