/* One shootdown from begin to end: the ticket. Steps 2, 3 and 10 of the path; the policy does 4 to 7. */
#include "lib/assert.h"
#include "lib/context.h"
#include "lib/counter.h"
#include "lib/patch.h"
#include "lib/stop_point.h"
#include "lib/wait.h"
#include "mm/cow.h"
#include "mm/frame_internal.h" /* parked frames are linked by number */
#include "mm/respond.h"
#include "mm/space.h"
#include "mm/ticket_internal.h"

COUNTER(shootdowns, "changes that some CPU had to forget");
COUNTER(shootdown_routed, "shootdowns that took a stronger path than the policy in force");
COUNTER(shootdown_late_words, "CPUs whose word was not there yet when the initiator first looked");
COUNTER(pte_changes, "page-table entries taken away or changed, while time stamps were patched in");
COUNTER(shootdown_watched, "of these, words that took so long that the message was waited for too");
COUNTER(shootdown_conflicts, "operations that waited for an earlier change in flight in their range");

PERCPU(struct tlb_times, shootdown_times);

static bool overlaps(const struct tlb_ticket *list, vaddr_t start, vaddr_t end)
{
    for (; list; list = list->in_flight_next)
        if (list->request.start < end && start < list->end)
            return true;
    return false;
}

static ALWAYS_INLINE bool try_open(struct space *s, vaddr_t start, vaddr_t end)
{
    preempt_disable();
    spin_lock(&s->lock);
    if (likely(!overlaps(s->in_flight, start, end)))
        return true;
    spin_unlock(&s->lock);
    preempt_enable();
    return false;
}

static COLD void open_after_others(struct tlb_ticket *t)
{
    struct space *s = t->request.space;
    struct wait w = WAIT("an overlapping change of the same space", wait_ms(TICKET_LIMIT_MS));
    counter_inc(shootdown_conflicts);
    shootdown_user_open();
    /* Between two tries the turn is somebody else's, who may need it to end the very change that we wait for. */
    for (u32 turns = 0; ticket_give_turn(t), ticket_take_turn(t), !try_open(s, t->request.start, t->end);
         turns++) {
        ticket_hurry_others(s, turns);
        if (!wait_spin(&w))
            panic("%s has been in flight for over %u s: its ticket was never released", w.what,
                  TICKET_LIMIT_MS / 1000);
    }
}

static ALWAYS_INLINE void open(struct tlb_ticket *t, struct space *s, vaddr_t start, vaddr_t end)
{
    ASSERT_MAY_WAIT();
    t->request.space = s;
    t->request.start = start;
    t->end = end;
    t->parked_frames = t->parked_tables = TICKET_NO_FRAME;
    t->here_done = t->has_turn = false;
    t->lax = TLB_STRICT;
    if (unlikely(t->asked->special))
        ticket_take_turn(t);
    if (unlikely(!try_open(s, start, end)))
        open_after_others(t);
    s->at_work = t;
    STAMP(t, TLB_T_BEGIN);
}

void ticket_open(struct tlb_ticket *t, struct space *s, vaddr_t start, vaddr_t end)
{
    t->asked = shootdown_policy_path();
    open(t, s, start, end);
    if (unlikely(t->asked->prepare))
        t->asked->prepare(t);
}

void ticket_open_adding(struct tlb_ticket *t, struct space *s, vaddr_t start, vaddr_t end)
{
    t->asked = shootdown_strongest_path();
    open(t, s, start, end);
}

static ALWAYS_INLINE void park(u32 *list, struct frame *f, paddr_t p)
{
    f->next = *list;
    *list = (u32)(p.v >> PAGE_SHIFT);
}

void ticket_park_frame(struct tlb_ticket *t, struct frame *f, paddr_t p)
{
    park(&t->parked_frames, f, p);
}

void ticket_park_table(struct tlb_ticket *t, paddr_t p)
{
    struct frame *f = frame_of(p);
    ASSERT(f != NULL, "table pages come from the allocator");
    park(&t->parked_tables, f, p);
}

/* Returns how many frames of 4 KiB that were. */
static ALWAYS_INLINE u64 free_list(u32 *list)
{
    u64 frames = 0;
    while (*list != TICKET_NO_FRAME) {
        paddr_t p = PADDR((u64)*list << PAGE_SHIFT);
        struct frame *f = frame_at(*list);
        *list = f->next;
        frames += 1u << f->order;
        frame_free_known(f, p);
    }
    return frames;
}

static ALWAYS_INLINE bool has_reached(const struct space *s, cpu_t c, tlb_gen_t gen, enum tlb_level level)
{
    if (tlb_published(&s->cpu[c], gen, level))
        return true;
    /* A CPU that only borrows the root touches no user memory, but its walker may follow the tables.
     * orders: the reuse of memory after the CPU's last access in the space; pairs with: mm/space_load.c:leave,
     * mm/space_load.c:space_borrow (LOCKed clears); else: memory could be given away under its last accesses. */
    return !cpumask_test_acquire(level >= TLB_WALKERS ? &s->loaded : &s->active, c);
}

bool ticket_cpu_reached(const struct space *s, cpu_t c, tlb_gen_t gen, enum tlb_level level)
{
    return has_reached(s, c, gen, level) || tlb_published_by_nmi(&s->cpu[c], gen, level);
}

/* Longer than any handler takes, that of a tree's leaf too. */
#define PULL_MS 1u

struct reached {
    const struct space *space;
    cpu_t cpu;
    tlb_gen_t gen;
    enum tlb_level level;
};

static bool reached_now(const void *arg)
{
    const struct reached *r = arg;
    return ticket_cpu_reached(r->space, r->cpu, r->gen, r->level);
}

/* The message first: its watchdog names the CPU and what it is doing, and rings once more. Then the word, for a CPU that
 * was told by the flush-everything word. */
COLD void ticket_wait_watched(const struct space *s, cpu_t c, tlb_gen_t gen, enum tlb_level level)
{
    const struct tlb_cpu *p = &s->cpu[c];
    counter_inc(shootdown_watched);
    if (msg_wait(c) != ERR_OK)
        panic("a shootdown was never answered by CPU %u (APIC id %u): its memory can neither be reused nor "
              "kept",
              c, cpu_apic_id(c));
    /* It may owe us a flush that it was allowed to put off, or that nobody has told it of: then it is told. */
    struct wait patience = WAIT("a flush that was put off", wait_ms(PULL_MS));
    while (!ticket_cpu_reached(s, c, gen, level))
        if (!wait_spin(&patience)) {
            ticket_pull(c);
            break;
        }
    struct reached r = {s, c, gen, level};
    if (smp_wait_served(c, "flush everything", reached_now, &r) != ERR_OK)
        panic("CPU %u (APIC id %u) has not reached %s of generation %llu: entered %llu, flushed %llu, "
              "walkers %llu",
              c, cpu_apic_id(c), tlb_level_name(level), (unsigned long long)gen,
              (unsigned long long)p->entered, (unsigned long long)p->flushed, (unsigned long long)p->walkers);
}

/* The watchdog is set up only for a CPU that has not answered after a few microseconds. */
static NOINLINE void wait_for_word(const struct space *s, cpu_t c, tlb_gen_t gen, enum tlb_level level)
{
    counter_inc(shootdown_late_words);
    shootdown_user_open(); /* those that we wait for may wait for us */
    for (u32 turns = WAIT_SPINS_PER_LOOK; turns; turns--) {
        if (has_reached(s, c, gen, level)) /* what NMI handlers have published is looked at last */
            return;
        cpu_pause();
    }
    ticket_wait_watched(s, c, gen, level);
}

/* Until every CPU of `who` has published the level, or has left the space and so cannot use an old entry before
 * space_load. */
static ALWAYS_INLINE void wait_published(const struct space *s, const cpumask_t *who, tlb_gen_t gen,
                                         enum tlb_level level)
{
    const struct tlb_cpu *cpu = s->cpu;
    CPUMASK_FOREACH (c, who)
        if (unlikely(!tlb_published(&cpu[c], gen, level)))
            wait_for_word(s, c, gen, level);
    cost_lines_turns(cpumask_count(who), cpumask_count(who)); /* the words, as their CPUs wrote them */
}

static ALWAYS_INLINE void free_parked(struct tlb_ticket *t)
{
    tlb_record_release(t);
    u64 freed = free_list(&t->parked_frames);
    if (unlikely(t->parked_tables != TICKET_NO_FRAME))
        freed += free_list(&t->parked_tables);
    if (freed)
        space_uncharge(t->request.space, freed);
}

void ticket_free_parked(struct tlb_ticket *t)
{
    free_parked(t);
}

/* Step 10, the end: nobody can use the old translations any more, as far as the operation needs it. */
static ALWAYS_INLINE void release(struct tlb_ticket *t)
{
    struct space *s = t->request.space;
    spin_lock(&s->lock);
    ticket_unlink(t);
    spin_unlock(&s->lock);
    free_parked(t);
}

/* Rounds what the change touched to one contiguous run of pages of its smallest size. */
static ALWAYS_INLINE void set_request_range(struct tlb_request *r, vaddr_t end,
                                            const struct pt_change *change)
{
    r->stride = change->stride;
    if (likely(end - r->start == PAGE_SIZE && change->stride == PT_4K)) {
        r->pages = 1;
        return;
    }
    u64 bytes = ALIGN_UP(end, 1ull << change->stride) - ALIGN_DOWN(r->start, 1ull << change->stride);
    u64 pages = bytes >> change->stride;
    r->pages = pages > shootdown_ceiling ? TLB_ALL_PAGES : (u32)pages;
}

/* Freed tables concern the CPUs that only borrow the root too. If that is this one, it gives the root up at once. */
static COLD void must_for_walkers(struct tlb_ticket *t, struct space *s)
{
    if (this_cpu(tlb_borrowed) == s) {
        irq_disable();
        if (this_cpu(tlb_borrowed) == s)
            space_give_up();
        irq_enable();
    }
    cpumask_snapshot(&t->must, &s->loaded);
}

static ALWAYS_INLINE void finish(struct tlb_ticket *t)
{
    ASSERT(t->here_done, "the initiator flushes itself before memory is released");
    counter_inc(shootdowns);
    STAMP(t, TLB_T_WAITED);
    STOP_POINT(STOP_RELEASE);
    release(t);
    if (patch_enabled(PATCH_TIMES)) {
        t->times.t[TLB_T_RELEASED] = rdtsc_ordered();
        *this_cpu_ptr(shootdown_times) = t->times;
    }
    if (unlikely(t->has_turn))
        ticket_give_turn(t);
    preempt_enable();
}

void ticket_finish(struct tlb_ticket *t)
{
    finish(t);
}

void ticket_wait_published(const struct tlb_ticket *t, enum tlb_level until)
{
    wait_published(t->request.space, &t->must, t->request.gen, until);
}

/* Inlined for each way: what ticket_close_page knows needs no instruction there. */
static ALWAYS_INLINE void close(struct tlb_ticket *t, enum tlb_level need, const struct pt_change *change,
                                bool one_page, bool copied)
{
    struct space *s = t->request.space;
    bool kernel_range = s == &kernel_space;

    s->at_work = NULL;
    if (patch_enabled(PATCH_TIMES)) {
        if (need != TLB_NONE) /* nobody has what is new, or wider, cached */
            counter_add(pte_changes, one_page ? 1 : change ? change->leaves + change->tables : 0);
        t->times.t[TLB_T_CHANGED] = rdtsc_ordered();
    }
    STOP_POINT(STOP_CHANGED);
    if (need == TLB_NONE) {
        ticket_cancel(t);
        spin_unlock(&s->lock);
        ticket_give_turn(t);
        preempt_enable();
        return;
    }

    t->request.level = need >= TLB_WALKERS ? TLB_WALKERS : TLB_FLUSHED;
    if (one_page) {
        t->request.stride = PT_4K;
        t->request.pages = 1;
    } else {
        set_request_range(&t->request, t->end, change);
    }
    bool lax = t->lax == TLB_LAX || (t->lax == TLB_LAX_UNTIL_USER && t->asked->user_return);
    t->policy = lax ? shootdown_route_lax(t->asked, need, kernel_range)
                    : shootdown_route(t->asked, need, kernel_range);
    if (t->policy != t->asked)
        counter_inc(shootdown_routed);
    enum tlb_level until = MIN(t->policy->at_return, t->request.level);
    ASSERT(until >= need || t->policy->special, "the policy that a request is routed to serves it");

    /* Step 2. The LOCKed increment is the full fence.
     * orders: the changed entries and the new generation before the read of the mask;
     * pairs with: mm/space_load.c:join (LOCKed set of the active bit, then the read of the generation);
     * else: a CPU that is just loading the space could miss the new generation while we miss the CPU. */
    tlb_record_change(s, atomic_load_relaxed(&s->gen) + 1, &t->request, t->end);
    t->request.gen = atomic_fetch_add(&s->gen, 1) + 1;
    STOP_POINT(STOP_GENERATION);
    if (unlikely(t->request.level >= TLB_WALKERS))
        must_for_walkers(t, s);
    else
        cpumask_snapshot(&t->must, &s->active);
    STOP_POINT(STOP_MASK);
    cpu_t self = cpu_self();
    t->here_done = !cpumask_test(&t->must, self);
    cpumask_unset(&t->must, self);
    if (copied)
        cow_forget_here(t);

    if (unlikely(t->policy->special)) {
        ticket_close_special(t);
        return;
    }
    ticket_link(t);
    spin_unlock(&s->lock);
    STAMP(t, TLB_T_TARGETS);
    STOP_POINT(STOP_UNLOCKED);

    if (likely(!cpumask_empty(&t->must))) {
        cost_line(); /* the generation, which the others have read */
        t->policy->post(t);
    } else {
        shootdown_flush_here(t);
    }
    /* Step 10. Nothing that a policy says counts here, the words of the CPUs do. */
    STOP_POINT(STOP_WAIT);
    wait_published(s, &t->must, t->request.gen, until);
    finish(t);
}

void ticket_close(struct tlb_ticket *t, enum tlb_level need, const struct pt_change *change)
{
    close(t, need, change, false, false);
}

void ticket_close_copied(struct tlb_ticket *t, const struct pt_change *change)
{
    close(t, TLB_FLUSHED, change, false, true);
}

void ticket_close_page(struct tlb_ticket *t)
{
    close(t, TLB_ENTERED, NULL, true, false);
}

void ticket_wait_earlier(struct space *s, enum tlb_level need)
{
    cpumask_t who;
    ASSERT_MAY_WAIT();
    preempt_disable();
    tlb_gen_t gen = atomic_load_relaxed(&s->gen);
    cpumask_snapshot(&who, need >= TLB_WALKERS ? &s->loaded : &s->active);
    cpumask_unset(&who, cpu_self());
    wait_published(s, &who, gen, need);
    preempt_enable();
}
