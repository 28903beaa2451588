/* shootdown: what it costs to take a mapping away from CPUs that have it cached.
 *
 * One cell is (operation, CPUs, pages, policy). In each round every responder touches all pages of the range, so that each
 * entry is really in each TLB; then the initiator runs one operation. Measured: the initiator's time from before step 1 to
 * return, the responder's interruption from vector entry to IRET, and, in rounds of their own with time stamps patched in,
 * each step of the path. A shootdown's own price is the initiator's p50 less that of the same cell on 1 CPU.
 *
 * The range never fills a page table: one page beside it stays mapped, or every unmap would free a table and need the
 * WALKERS level. */
#include "apic/apic.h"
#include "bench/bench.h"
#include "bench/responders.h"
#include "kernel/patch.h"
#include "kernel/trap.h"
#include "lib/assert.h"
#include "lib/atomic.h"
#include "lib/counter.h"
#include "lib/log.h"
#include "lib/patch.h"
#include "lib/string.h"
#include "lib/wait.h"
#include "mm/frame.h"
#include "mm/kmap.h"
#include "mm/layout.h"

#define PAGES_MAX     512u
#define PHASE_SAMPLES 32u

/* Two tables side by side: the range starts half a table in, so that 512 pages lie in both, and a page that stays mapped at
 * either end keeps each table alive. In the user half, the first of these is the page that responders keep touching. */
#define USER_TABLE    0x0000100000000000ull
#define TABLE_BYTES   (512 * PAGE_SIZE)
#define RANGE_OFFSET  (TABLE_BYTES / 2)
#define ANCHOR_OFFSET (2 * TABLE_BYTES - PAGE_SIZE)

struct cell {
    const char *op;
    const struct shootdown_policy *policy;
    struct space *space;
    vaddr_t start;
    u64 pages;
    u32 cpus;
    u64 p50;
};

static struct responders responders;

static void must_work(err_t e, const char *what)
{
    if (e != ERR_OK)
        panic("shootdown benchmark: %s: %s", what, err_name(e));
}

/* Undoes one operation: the range is mapped, writable, with frames of its own. */
static void restore(const struct cell *c, bool first)
{
    u32 prot = PT_WRITE | (c->space == &kernel_space ? PT_GLOBAL : 0);
    if (!first && strcmp(c->op, "protect") == 0) {
        must_work(space_protect(c->space, c->start, c->start + c->pages * PAGE_SIZE, prot),
                  "widening the range");
        return;
    }
    if (!first && strcmp(c->op, "remap") == 0)
        return;
    for (u64 i = 0; i < c->pages; i++) {
        paddr_t p;
        must_work(frame_alloc(FRAME_OWNER_USER, &p), "a frame");
        must_work(space_map(c->space, c->start + i * PAGE_SIZE, p, PAGE_SIZE, PT_4K, prot | PT_OWNED),
                  "a page");
    }
}

static paddr_t remap_frame[PAGES_MAX];

static void prepare(const struct cell *c)
{
    if (strcmp(c->op, "remap") == 0)
        for (u64 i = 0; i < c->pages; i++)
            must_work(frame_alloc(FRAME_OWNER_USER, &remap_frame[i]), "a frame");
}

/* The measured operation. */
static err_t operate(const struct cell *c)
{
    vaddr_t end = c->start + c->pages * PAGE_SIZE;
    if (strcmp(c->op, "protect") == 0)
        return space_protect(c->space, c->start, end, c->space == &kernel_space ? PT_GLOBAL : 0);
    if (strcmp(c->op, "remap") == 0) {
        for (u64 i = 0; i < c->pages; i++) {
            err_t e =
                space_remap(c->space, c->start + i * PAGE_SIZE, remap_frame[i], PT_4K, PT_WRITE | PT_OWNED);
            if (e != ERR_OK)
                return e;
        }
        return ERR_OK;
    }
    return space_unmap(c->space, c->start, end);
}

/* Pages forgotten one by one, and flushes of more than that, on one CPU. */
struct flushes {
    u64 pages, whole;
};

static struct flushes flushes_of(cpu_t cpu)
{
    const struct counter *pages = counter_find("tlb_flush_pages"), *space = counter_find("tlb_flush_space"),
                         *all = counter_find("tlb_flush_all");
    ASSERT(pages && space && all, "the counters that prove the effect exist");
    return (struct flushes){.pages = counter_value(pages, cpu),
                            .whole = counter_value(space, cpu) + counter_value(all, cpu)};
}

static struct flushes flushed_before[MAX_CPUS];

static void note_flushes(void)
{
    for (cpu_t cpu = 0; cpu < cpu_count(); cpu++)
        flushed_before[cpu] = flushes_of(cpu);
}

/* Has this CPU forgotten the range `rounds` times? One flush of everything serves a whole operation, or, where each page is an
 * operation of its own (remap), one page; so each is worth the range, or less than it could be. */
static bool has_flushed(const struct cell *c, cpu_t cpu, u64 rounds)
{
    struct flushes now = flushes_of(cpu);
    return now.pages - flushed_before[cpu].pages + (now.whole - flushed_before[cpu].whole) * c->pages >=
           rounds * c->pages;
}

/* A CPU of the cell that has not flushed as often as it had to; CPU_NONE if all have. In every round each responder left its
 * handler, and with that had flushed, before it touched its pages for the next; the last round's flush is not counted. */
static cpu_t find_unflushed(const struct cell *c, u64 rounds)
{
    for (cpu_t cpu = 0; cpu < cpu_count(); cpu++)
        if ((cpu == cpu_self() || (c->cpus > 1 && cpumask_test_relaxed(&responders.space->active, cpu))) &&
            !has_flushed(c, cpu, rounds - 1))
            return cpu;
    return CPU_NONE;
}

/* One round. False if the operation failed. */
static bool round_of(const struct cell *c, u64 *ticks)
{
    prepare(c);
    if (c->cpus > 1)
        responders_cache(&responders, c->cpus - 1);
    bench_jitter();
    u64 start = rdtsc_ordered();
    err_t e = operate(c);
    *ticks = bench_elapsed(start, rdtsc_ordered());
    struct pt_entry left = space_query(c->space, c->start + (c->pages - 1) * PAGE_SIZE);
    bool right = strcmp(c->op, "protect") == 0 ? left.present && !(left.prot & PT_WRITE)
                 : strcmp(c->op, "remap") == 0 ? left.present && left.pa.v == remap_frame[c->pages - 1].v
                                               : !left.present;
    restore(c, false);
    return e == ERR_OK && right;
}

static void record(const struct cell *c, const char *metric, struct samples *s, u64 icr, u64 irqs)
{
    struct bench_key k = {.bench = "shootdown",
                          .policy = c->policy->name,
                          .op = c->op,
                          .responders = "kernel",
                          .metric = metric,
                          .cpus = c->cpus,
                          .pages = c->pages,
                          .icr = icr,
                          .irqs = irqs};
    bench_record(&k, s);
}

/* Steps of the path, each between two of its time stamps. They overlap where the path's own steps do: sync flushes here before it
 * posts, the others after. Of a remap, which is one shootdown for each page, those of the last. */
static const struct {
    const char *metric;
    enum tlb_phase from, to;
} phases[] = {
    {"phase.change", TLB_T_BEGIN, TLB_T_CHANGED}, {"phase.targets", TLB_T_CHANGED, TLB_T_TARGETS},
    {"phase.post", TLB_T_TARGETS, TLB_T_POSTED},  {"phase.local", TLB_T_TARGETS, TLB_T_LOCAL},
    {"phase.wait", TLB_T_TARGETS, TLB_T_WAITED},  {"phase.release", TLB_T_WAITED, TLB_T_RELEASED},
    {"release", TLB_T_BEGIN, TLB_T_RELEASED},
};

static void measure_phases(struct cell *c)
{
    struct samples *s[ARRAY_SIZE(phases)], *responder = samples_get(SAMPLES_RESPONDER);
    for (u32 i = 0; i < ARRAY_SIZE(phases); i++)
        s[i] = samples_get(SAMPLES_PHASE_FIRST + i);

    must_work(patch_set(PATCH_TIMES, true), "patching time stamps in");
    u64 limit = tsc_from_us(20000), start = rdtsc(), ticks;
    for (u32 n = 0; n < PHASE_SAMPLES && (n < 4 || rdtsc() - start < limit); n++) {
        if (!round_of(c, &ticks))
            break;
        const struct tlb_times *t = this_cpu_ptr(shootdown_times);
        for (u32 i = 0; i < ARRAY_SIZE(phases); i++)
            samples_add(s[i], bench_elapsed(t->t[phases[i].from], t->t[phases[i].to]));
        for (cpu_t r = 1; c->cpus > 1 && r < cpu_count(); r++)
            if (cpumask_test_relaxed(&responders.space->active, r))
                samples_add(responder, atomic_load_relaxed(&per_cpu(trap_message_ticks, r)));
    }
    must_work(patch_set(PATCH_TIMES, false), "patching time stamps out");
    for (u32 i = 0; i < ARRAY_SIZE(phases); i++)
        record(c, phases[i].metric, s[i], 0, 0);
    if (responder->n)
        record(c, "responder", responder, 0, 0);
}

static void measure(struct bench_run *b, struct cell *c)
{
    restore(c, true);
    c->p50 = 0;
    note_flushes();
    u64 drains = counter_sum(counter_find("msg_interrupts")), icr = apic_icr_writes();
    struct samples *s = samples_get(SAMPLES_INITIATOR);
    struct cell_clock clock;
    bool worked = true;
    u64 ticks;
    cell_begin(&clock);
    while (worked && cell_continue(&clock)) {
        worked = round_of(c, &ticks);
        if (!cell_warming_up(&clock))
            samples_add(s, ticks);
    }
    drains = counter_sum(counter_find("msg_interrupts")) - drains;
    icr = apic_icr_writes() - icr;
    cpu_t unflushed = c->policy->control ? CPU_NONE : find_unflushed(c, clock.done);
    if (!worked) {
        bench_refuse(b, "%s of %llu pages on %u CPUs by %s did not take effect", c->op,
                     (unsigned long long)c->pages, c->cpus, c->policy->name);
    } else if (unflushed != CPU_NONE) {
        bench_refuse(b, "%s of %llu pages on %u CPUs by %s: CPU %u has not flushed every time", c->op,
                     (unsigned long long)c->pages, c->cpus, c->policy->name, unflushed);
    } else {
        record(c, "initiator", s, icr * s->n / clock.done, drains * s->n / clock.done);
        c->p50 = samples_percentile(s, 500);
        if (c->cpus > 1)
            measure_phases(c);
    }
    must_work(space_unmap(c->space, c->start, c->start + c->pages * PAGE_SIZE), "clearing the range");
}

static const char *const op_names[] = {"unmap", "protect", "remap", "kernel"};

/* All policies of one row: a line of the table. */
static void row(struct bench_run *b, struct cell *c, const struct shootdown_policy *const *policies,
                u32 count)
{
    const struct shootdown_policy *before = shootdown_policy();
    u64 first = 0;
    char line[160];
    int n = format(line, sizeof(line), "  %-8s %4u %5llu", c->op, c->cpus, (unsigned long long)c->pages);
    for (u32 i = 0; i < count; i++) {
        must_work(shootdown_policy_set(policies[i]->name), "selecting the policy");
        c->policy = policies[i];
        measure(b, c);
        if (i == 0)
            first = c->p50;
        if ((size_t)n < sizeof(line))
            n += format(line + n, sizeof(line) - (size_t)n, " %10llu %3llu%%", (unsigned long long)c->p50,
                        (unsigned long long)(first ? c->p50 * 100 / first : 0));
    }
    print("%s\n", line);
    must_work(shootdown_policy_set(before->name), "selecting the policy");
}

/* The kernel's two tables, reserved and anchored once: 0 if there is no room. */
static vaddr_t kernel_tables(void)
{
    static vaddr_t base;
    if (!base) {
        vaddr_t reserved = kmap_reserve(3 * TABLE_BYTES / PAGE_SIZE);
        if (!reserved)
            return 0;
        base = ALIGN_UP(reserved, TABLE_BYTES);
        must_work(space_map_fresh(&kernel_space, base, 1, PT_WRITE | PT_GLOBAL, FRAME_OWNER_KERNEL),
                  "an anchor page");
        must_work(
            space_map_fresh(&kernel_space, base + ANCHOR_OFFSET, 1, PT_WRITE | PT_GLOBAL, FRAME_OWNER_KERNEL),
            "an anchor page");
    }
    return base;
}

static void grid(struct bench_run *b, struct space *user, const char *op)
{
    const struct shootdown_policy *policies[16];
    u32 count = 0;
    TABLE_FOREACH (policy, struct shootdown_policy, p)
        if (count < ARRAY_SIZE(policies) &&
            (shootdown_policy_chosen() ? p == shootdown_policy() : !p->control) &&
            (!p->usable || p->usable()))
            policies[count++] = p;

    bool kernel = strcmp(op, "kernel") == 0;
    vaddr_t kernel_table = kernel ? kernel_tables() : 0;
    if (kernel && !kernel_table) {
        bench_refuse(b, "no kernel address range for %u pages", PAGES_MAX);
        return;
    }

    print("\n  %-8s %4s %5s", "ticks", "CPUs", "pages");
    for (u32 i = 0; i < count; i++)
        print(" %15s", policies[i]->name);
    print("   (p50, and as a share of %s)\n", policies[0]->name);

    const struct bench_axis *cpus = bench_axis_cpus(), *pages = bench_axis_pages();
    u32 left_out = 0;
    if (!cpus->count)
        bench_refuse(b, "no number of cpus= is at most %u, the CPUs that are online", cpu_online_count());
    for (u32 i = 0; i < cpus->count; i++) {
        /* Every CPU has the kernel's space active, at work or not: there is no cell of fewer. */
        if (kernel && cpus->value[i] != cpu_online_count()) {
            print("  kernel on %llu CPUs left out: a kernel range is told to all %u, always\n",
                  (unsigned long long)cpus->value[i], cpu_online_count());
            continue;
        }
        struct cell c = {.op = op, .cpus = (u32)cpus->value[i]};
        c.space = kernel ? &kernel_space : user;
        c.start = (kernel ? kernel_table : USER_TABLE) + RANGE_OFFSET;
        for (u32 j = 0; j < pages->count; j++) {
            c.pages = pages->value[j];
            if (bench_out_of_time()) {
                left_out++;
                continue;
            }
            responders.space = user;
            responders.start = c.start;
            responders.pages = c.pages;
            responders.busy = USER_TABLE;
            responders.rounds_before = responders.round;
            err_t e = bench_occupy(c.cpus, responder_loop, &responders);
            if (e == ERR_OK)
                row(b, &c, policies, count);
            else
                bench_refuse(b, "%u responders could not be started: %s", c.cpus - 1, err_name(e));
            bench_release(c.cpus);
        }
    }
    if (left_out)
        print("  %u rows of %s left out: the time is up (bench_limit=)\n", left_out, op);
}

static void run(struct bench_run *b)
{
    struct space *user;
    must_work(space_create(&user), "a space");
    must_work(space_map_fresh(user, USER_TABLE, 1, PT_WRITE, FRAME_OWNER_USER), "the busy page");
    must_work(space_map_fresh(user, USER_TABLE + ANCHOR_OFFSET, 1, PT_WRITE, FRAME_OWNER_USER),
              "the anchor page");
    space_load(user);
    for (u32 i = 0; i < ARRAY_SIZE(op_names); i++)
        if (bench_axis_has_op(op_names[i]))
            grid(b, user, op_names[i]);
    space_load(NULL);
    space_destroy(user);
}
BENCH(shootdown, "taking a mapping away from CPUs that have it cached", run);
