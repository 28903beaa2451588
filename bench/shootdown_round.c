/* One round of the shootdown benchmark: the entries are cached, taken away, given back; and the evidence that they were. */
#include "bench/shootdown_cell.h"
#include "lib/counter.h"
#include "lib/string.h"
#include "mm/frame.h"

static bool is(const struct shootdown_cell *c, const char *op)
{
    return strcmp(c->op, op) == 0;
}

/* What each page of the range is besides writable or not. */
static u32 fixed_rights(const struct shootdown_cell *c)
{
    return c->space == &kernel_space ? PT_GLOBAL : responders_right(c->responders);
}

static vaddr_t range_end(const struct shootdown_cell *c)
{
    return c->start + c->pages * PAGE_SIZE;
}

/* Maps the range, writable, with frames of its own. */
static void map_range(const struct shootdown_cell *c)
{
    for (u64 i = 0; i < c->pages; i++) {
        paddr_t p;
        must_work(frame_alloc(FRAME_OWNER_USER, &p), "a frame");
        must_work(space_map(c->space, c->start + i * PAGE_SIZE, p, PAGE_SIZE, PT_4K,
                            PT_WRITE | PT_OWNED | fixed_rights(c)),
                  "a page");
    }
}

void shootdown_round_restore(struct shootdown_cell *c)
{
    if (is(c, "protect"))
        must_work(space_protect(c->space, c->start, range_end(c), PT_WRITE | fixed_rights(c)),
                  "widening the range");
    else if (!is(c, "remap"))
        map_range(c);
}

/* ---- what the kernel has counted ---- */

/* Pages forgotten one by one, and flushes of more than that, on one CPU. */
struct flushes {
    u64 pages, whole;
};

static const struct counter *flush_pages, *flush_space, *flush_all, *shootdowns, *shootdown_routed;
static struct flushes flushed_before[MAX_CPUS];

static const struct counter *find_counter(const char *name)
{
    const struct counter *found = counter_find(name);
    ASSERT(found, "the counters that prove the effect exist");
    return found;
}

static void find_counters(void)
{
    flush_pages = find_counter("tlb_flush_pages");
    flush_space = find_counter("tlb_flush_space");
    flush_all = find_counter("tlb_flush_all");
    shootdowns = find_counter("shootdowns");
    shootdown_routed = find_counter("shootdown_routed");
}

static struct flushes flushes_of(cpu_t cpu)
{
    return (struct flushes){.pages = counter_value(flush_pages, cpu),
                            .whole = counter_value(flush_space, cpu) + counter_value(flush_all, cpu)};
}

/* Has this CPU forgotten the range `rounds` times? One flush of everything serves a whole operation, or, where each page is an
 * operation of its own (remap), one page; so each is worth the range, or less than it could be. */
static bool has_flushed(const struct shootdown_cell *c, cpu_t cpu, u64 rounds)
{
    struct flushes now = flushes_of(cpu);
    return now.pages - flushed_before[cpu].pages + (now.whole - flushed_before[cpu].whole) * c->pages >=
           rounds * c->pages;
}

/* The kernel's space is everybody's, always. */
static bool is_outside(const struct shootdown_cell *c)
{
    return c->responders->outside && c->space != &kernel_space;
}

/* In every round each responder left its handler, and with that had flushed, before it touched its pages for the next; the last
 * round's flush is not counted. */
cpu_t shootdown_find_unflushed(const struct shootdown_cell *c, u64 rounds)
{
    for (cpu_t cpu = 0; cpu < cpu_count(); cpu++) {
        bool has_cached = cpu == cpu_self() ? !is_outside(c) : shootdown_is_responder(c, cpu);
        if (has_cached && !has_flushed(c, cpu, rounds - 1))
            return cpu;
    }
    return CPU_NONE;
}

/* What a policy cannot serve has one place to go, the same for every level above the policy's: that of the highest. */
const struct shootdown_policy *shootdown_served_by(const struct shootdown_cell *c)
{
    if (c->routed == 0)
        return c->policy;
    return c->routed == c->shootdowns ? shootdown_route(c->policy, TLB_WALKERS, c->space == &kernel_space)
                                      : NULL;
}

/* ---- the rounds ---- */

void shootdown_rounds_begin(struct shootdown_cell *c)
{
    map_range(c);
    find_counters();
    c->shootdowns = c->routed = 0;
    for (cpu_t cpu = 0; cpu < cpu_count(); cpu++)
        flushed_before[cpu] = flushes_of(cpu);
}

static paddr_t remap_frame[SHOOTDOWN_PAGES_MAX];

void shootdown_round_cache(struct shootdown_cell *c)
{
    if (is(c, "remap"))
        for (u64 i = 0; i < c->pages; i++)
            must_work(frame_alloc(FRAME_OWNER_USER, &remap_frame[i]), "a frame");
    responders_cache(c->responders);
}

static err_t operate(const struct shootdown_cell *c)
{
    if (is(c, "protect"))
        return space_protect(c->space, c->start, range_end(c), fixed_rights(c));
    if (is(c, "remap")) {
        for (u64 i = 0; i < c->pages; i++) {
            err_t e = space_remap(c->space, c->start + i * PAGE_SIZE, remap_frame[i], PT_4K,
                                  PT_WRITE | PT_OWNED | fixed_rights(c));
            if (e != ERR_OK)
                return e;
        }
        return ERR_OK;
    }
    return space_unmap(c->space, c->start, range_end(c));
}

/* Do the tables say of the range's last page that the operation was done? */
static bool took_effect(const struct shootdown_cell *c)
{
    struct pt_entry left = space_query(c->space, range_end(c) - PAGE_SIZE);
    if (is(c, "protect"))
        return left.present && !(left.prot & PT_WRITE);
    if (is(c, "remap"))
        return left.present && left.pa.v == remap_frame[c->pages - 1].v;
    return !left.present;
}

bool shootdown_round_operate(struct shootdown_cell *c, u64 *ticks)
{
    /* Both are counted on the CPU that initiates. */
    cpu_t self = cpu_self();
    u64 done = counter_value(shootdowns, self), routed = counter_value(shootdown_routed, self);

    bench_jitter();
    u64 start = rdtsc_ordered();
    err_t e = operate(c);
    *ticks = bench_elapsed(start, rdtsc_ordered());

    c->shootdowns += counter_value(shootdowns, self) - done;
    c->routed += counter_value(shootdown_routed, self) - routed;
    return e == ERR_OK && took_effect(c);
}

void shootdown_rounds_end(struct shootdown_cell *c)
{
    must_work(space_unmap(c->space, c->start, range_end(c)), "clearing the range");
}
