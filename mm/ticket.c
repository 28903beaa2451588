/* One shootdown from begin to end: the ticket. Steps 2, 3 and 10 of the path; the policy does 4 to 7. */
#include "lib/assert.h"
#include "lib/context.h"
#include "lib/counter.h"
#include "lib/patch.h"
#include "lib/wait.h"
#include "mm/frame.h"
#include "mm/respond.h"
#include "mm/space.h"

COUNTER(shootdowns, "changes that some CPU had to forget");
COUNTER(shootdown_targets, "CPUs that had to be told, over all shootdowns");
COUNTER(shootdown_routed, "shootdowns that took a stronger path than the policy in force");
COUNTER(shootdown_conflicts, "operations that waited for an earlier change in flight in their range");
COUNTER(shootdown_late_words, "releases that had to wait for a CPU's word after the policy's own wait");

PERCPU(struct tlb_times, shootdown_times);

#define STAMP(t, phase)                                                                                      \
    do {                                                                                                     \
        if (patch_enabled(PATCH_TIMES))                                                                      \
            (t)->times.t[phase] = rdtsc_ordered();                                                           \
    } while (0)

/* How long a change of another CPU may stay in flight before we say that the machine is broken. Longer than the message
 * watchdog's own limit, which names the culprit. */
#define IN_FLIGHT_LIMIT_MS 60000u

static bool overlaps(const struct tlb_ticket *list, vaddr_t start, vaddr_t end)
{
    for (; list; list = list->in_flight_next)
        if (list->request.start < end && start < list->end)
            return true;
    return false;
}

static bool try_open(struct space *s, vaddr_t start, vaddr_t end)
{
    preempt_disable();
    spin_lock(&s->lock);
    if (likely(!overlaps(s->in_flight, start, end)))
        return true;
    spin_unlock(&s->lock);
    preempt_enable();
    return false;
}

static COLD void open_after_others(struct space *s, vaddr_t start, vaddr_t end)
{
    struct wait w = WAIT("an overlapping change of the same space", wait_ms(IN_FLIGHT_LIMIT_MS));
    counter_inc(shootdown_conflicts);
    while (!try_open(s, start, end))
        if (!wait_spin(&w))
            panic("%s has been in flight for over %u s: its ticket was never released", w.what,
                  IN_FLIGHT_LIMIT_MS / 1000);
}

void ticket_open(struct tlb_ticket *t, struct space *s, vaddr_t start, vaddr_t end)
{
    ASSERT_MAY_WAIT();
    t->request.space = s;
    t->request.start = start;
    t->end = end;
    t->parked_frames = t->parked_tables = TICKET_NO_FRAME;
    t->here_done = false;
    if (unlikely(!try_open(s, start, end)))
        open_after_others(s, start, end);
    s->at_work = t;
    STAMP(t, TLB_T_BEGIN);
}

static void park(u32 *list, paddr_t p)
{
    struct frame *f = frame_of(p);
    ASSERT(f != NULL, "only frames of the allocator can be parked");
    f->next = *list;
    *list = (u32)(p.v >> PAGE_SHIFT);
}

void ticket_park_frame(struct tlb_ticket *t, paddr_t p)
{
    park(&t->parked_frames, p);
}
void ticket_park_table(struct tlb_ticket *t, paddr_t p)
{
    park(&t->parked_tables, p);
}

static void free_list(u32 *list)
{
    while (*list != TICKET_NO_FRAME) {
        paddr_t p = PADDR((u64)*list << PAGE_SHIFT);
        *list = frame_of(p)->next;
        frame_free(p);
    }
}

static ALWAYS_INLINE bool has_reached(const struct space *s, cpu_t c, tlb_gen_t gen, enum tlb_level level)
{
    return tlb_published(&s->cpu[c], gen, level) || !cpumask_test_relaxed(&s->active, c);
}

static COLD void wait_for_word(const struct space *s, cpu_t c, tlb_gen_t gen, enum tlb_level level)
{
    struct wait w = WAIT("a CPU's published generation", wait_ms(IN_FLIGHT_LIMIT_MS));
    const struct tlb_cpu *p = &s->cpu[c];
    counter_inc(shootdown_late_words);
    while (!has_reached(s, c, gen, level))
        if (!wait_spin(&w))
            panic("CPU %u (APIC id %u) has not reached %s of generation %llu: entered %llu, flushed %llu, "
                  "walkers %llu",
                  c, cpu_apic_id(c), tlb_level_name(level), (unsigned long long)gen,
                  (unsigned long long)p->entered, (unsigned long long)p->flushed,
                  (unsigned long long)p->walkers);
}

/* Until every CPU of `who` has published the level, or has left the space and so cannot use an old entry before
 * space_load. Normally true at the first look, because the policy has waited. */
static void wait_published(const struct space *s, const cpumask_t *who, tlb_gen_t gen, enum tlb_level level)
{
    CPUMASK_FOREACH (c, who)
        if (unlikely(!has_reached(s, c, gen, level)))
            wait_for_word(s, c, gen, level);
}

/* Step 10. Nothing that a policy says counts here: the words of the CPUs do. */
static void release(struct tlb_ticket *t)
{
    struct space *s = t->request.space;

    if (likely(!t->policy->control)) {
        wait_published(s, &t->must, t->request.gen, t->need);
        ASSERT(t->here_done, "the initiator flushes itself before memory is released");
    }
    spin_lock(&s->lock);
    struct tlb_ticket **at = &s->in_flight;
    while (*at != t)
        at = &(*at)->in_flight_next;
    *at = t->in_flight_next;
    spin_unlock(&s->lock);

    free_list(&t->parked_frames);
    free_list(&t->parked_tables);
}

/* Rounds what the change touched to one contiguous run of pages of its smallest size. */
static void set_request_range(struct tlb_request *r, vaddr_t end, const struct pt_change *change)
{
    u64 bytes = ALIGN_UP(end, 1ull << change->stride) - ALIGN_DOWN(r->start, 1ull << change->stride);
    u64 pages = bytes >> change->stride;
    r->stride = change->stride;
    r->pages = pages > shootdown_ceiling ? TLB_ALL_PAGES : (u32)pages;
}

void ticket_close(struct tlb_ticket *t, enum tlb_level need, const struct pt_change *change)
{
    struct space *s = t->request.space;
    bool kernel_range = s == &kernel_space;

    s->at_work = NULL;
    STAMP(t, TLB_T_CHANGED);
    if (need == TLB_NONE) {
        spin_unlock(&s->lock);
        preempt_enable();
        return;
    }

    t->need = need;
    t->request.level = need >= TLB_WALKERS ? TLB_WALKERS : TLB_FLUSHED;
    set_request_range(&t->request, t->end, change);
    const struct shootdown_policy *asked = shootdown_policy();
    t->policy = shootdown_route(asked, need, kernel_range);
    if (t->policy != asked)
        counter_inc(shootdown_routed);

    /* Step 2. The LOCKed increment is the full fence.
     * orders: the changed entries and the new generation before the read of the active mask;
     * pairs with: mm/space.c:space_load (LOCKed set of the active bit, then the read of the generation);
     * else: a CPU that is just loading the space could miss the new generation while we miss the CPU. */
    t->request.gen = atomic_fetch_add(&s->gen, 1) + 1;
    cpumask_snapshot(&t->must, &s->active);
    cpu_t self = cpu_self();
    t->here_done = !cpumask_test(&t->must, self);
    cpumask_unset(&t->must, self);

    t->in_flight_next = s->in_flight;
    s->in_flight = t;
    spin_unlock(&s->lock);
    STAMP(t, TLB_T_TARGETS);

    counter_inc(shootdowns);
    if (likely(!cpumask_empty(&t->must))) {
        counter_add(shootdown_targets, cpumask_count(&t->must));
        t->policy->post(t);
        t->policy->wait(t);
    } else {
        shootdown_flush_here(t);
    }
    STAMP(t, TLB_T_WAITED);
    release(t);
    if (patch_enabled(PATCH_TIMES)) {
        t->times.t[TLB_T_RELEASED] = rdtsc_ordered();
        *this_cpu_ptr(shootdown_times) = t->times;
    }
    preempt_enable();
}

void ticket_wait_earlier(struct space *s, enum tlb_level need)
{
    cpumask_t active;
    tlb_gen_t gen = atomic_load_relaxed(&s->gen);
    cpumask_snapshot(&active, &s->active);
    cpumask_unset(&active, cpu_self());
    wait_published(s, &active, gen, need);
}
