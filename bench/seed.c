/* seed: the table of the series that this kernel is built around.
 *
 * N. Amit, "[RFC PATCH v2 00/12] x86: Flush remote TLBs concurrently and async", May 2019: on a Haswell, one thread gives one page
 * back (MADV_DONTNEED) and touches it again, in a loop; the other n-1 threads of the process run a busy loop. Nanoseconds of one
 * turn on the first thread, page fault included. "as posted" is the series as it was sent, which by mistake waited for nobody;
 * "early_ack" is the author's corrected figure.
 *
 * Here the first thread is kernel code: unmap of the page, a touch that faults (a real exception, its return by the table of
 * instructions that may fault), a fresh page, the touch again. There is no system call and no search for what the fault means. So
 * times are not comparable, ratios to `sync` are, and are printed beside the published ones, with their distance. What else makes
 * them differ: docs/benchmarks.md. Under cost=haswell; prices are published measurements, never fitted to this table. */
#include "apic/apic.h"
#include "bench/bench.h"
#include "kernel/cost.h"
#include "kernel/trap.h"
#include "lib/assert.h"
#include "lib/atomic.h"
#include "lib/context.h"
#include "lib/counter.h"
#include "lib/features.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/wait.h"
#include "mm/frame.h"
#include "mm/space.h"
#include "smp/cpus.h"
#include "smp/message.h"

#define BASE 0x0000150000000000ull
#define PAGE (BASE + PAGE_SIZE)

static const u32 threads[] = {1, 2, 4};
#define COLUMNS ARRAY_SIZE(threads)

static const struct {
    const char *policy, *published_as;
    u64 ns[COLUMNS];
} rows[] = {
    {"sync", "base", {661, 1436, 1571}},
    {"concurrent", "concurrent", {663, 1225, 1421}},
    {"early_ack", "+ async (corrected)", {663, 1115, 1289}},
    {"unsafe_nowait", "as posted", {663, 923, 1070}},
};

static struct space *space;
static u64 result[ARRAY_SIZE(rows)][COLUMNS]; /* p50; 0: not measured */

static void load(struct space *s)
{
    preempt_disable();
    space_load(s);
    preempt_enable();
}

/* A busy loop of the same process: it does not touch the page. */
static void busy_loop(void *arg)
{
    (void)arg;
    load(space);
    while (!bench_should_stop()) {
        (void)*(volatile u64 *)BASE;
        cpu_pause();
    }
    load(NULL);
}

/* One turn; false if the page was not there before, or still usable afterwards. */
static bool one_turn(u64 *ticks)
{
    u64 before;
    bool cached = safe_read_u64((void *)PAGE, &before) == 0;
    bench_jitter();
    u64 start = rdtsc_ordered();
    err_t unmapped = space_unmap(space, PAGE, PAGE + PAGE_SIZE);
    bool faulted = safe_write_u64((void *)PAGE, 1) == EXC_PAGE_FAULT;
    err_t mapped = space_map_fresh(space, PAGE, 1, PT_WRITE, FRAME_OWNER_USER);
    bool touched = safe_write_u64((void *)PAGE, 2) == 0;
    *ticks = bench_elapsed(start, rdtsc_ordered());
    return cached && unmapped == ERR_OK && faulted && mapped == ERR_OK && touched;
}

static void ignore(struct msg_in *in)
{
    (void)in;
}
MSG_KIND(bench_seed_settle, ignore);

/* Until what has been sent to the others has arrived: under a policy that does not wait it may still be on its way. */
static void settle(void)
{
    struct msg m = {.kind = &bench_seed_settle, .flags = MSG_SYNC};
    cpumask_t others;
    cpumask_clear(&others);
    cpumask_snapshot(&others, &space->active);
    cpumask_unset(&others, cpu_self());
    if (msg_call_mask(&others, &m) != ERR_OK)
        panic("seed: a busy CPU does not answer");
}

/* All busy CPUs have been interrupted in each turn; under a policy that does not wait several may have become one. */
static bool all_were_told(u64 interrupts, u64 turns, u32 cpus, bool waits)
{
    return interrupts >= (waits ? turns : 1) * (cpus - 1);
}

static u64 measure(struct bench_run *b, const struct shootdown_policy *p, u32 cpus)
{
    struct samples *s = samples_get(SAMPLES_INITIATOR);
    const struct counter *taken = counter_find("msg_interrupts");
    ASSERT(taken, "the counter of message interrupts exists");
    u64 irqs = counter_sum(taken), icr = apic_icr_writes(), ticks;
    bool worked = true;
    struct cell_clock clock;
    cell_begin(&clock);
    cell_watch(&clock, s);
    while (worked && cell_continue(&clock)) {
        worked = one_turn(&ticks);
        if (!cell_warming_up(&clock))
            samples_add(s, ticks);
    }
    icr = apic_icr_writes() - icr;
    settle();
    irqs = counter_sum(taken) - irqs;
    if (!worked || !all_were_told(irqs, clock.done, cpus, !p->control)) {
        bench_refuse(b, "seed: %s with %u threads %s", p->name, cpus,
                     worked ? "did not interrupt every busy CPU" : "did not take the page away");
        return 0;
    }
    struct bench_key k = {.bench = "seed",
                          .policy = p->name,
                          .served_by = shootdown_route(p, TLB_ENTERED, false)->name,
                          .op = "unmap",
                          .responders = "kernel",
                          .metric = "turn",
                          .cpus = cpus,
                          .pages = 1,
                          .icr = icr * s->n / clock.done,
                          .irqs = irqs * s->n / clock.done};
    bench_record(&k, s);
    return samples_percentile(s, 500);
}

static s64 permille(u64 value, u64 base)
{
    return base ? ((s64)value - (s64)base) * 1000 / (s64)base : 0;
}

/* "-22.3 %" from -223. */
static void print_percent(s64 n)
{
    print(" %s%llu.%llu%%", n < 0 ? "-" : "+", (unsigned long long)((n < 0 ? -n : n) / 10),
          (unsigned long long)((n < 0 ? -n : n) % 10));
}

static void compare(u32 row, u32 column)
{
    u64 ours = result[row][column], base = result[0][column];
    if (!ours || !base)
        return;
    s64 here = permille(ours, base), there = permille(rows[row].ns[column], rows[0].ns[column]);
    print("  %-20s %7u %8llu  ", rows[row].published_as, threads[column], (unsigned long long)ours);
    print_percent(here);
    print("   published %4llu ns", (unsigned long long)rows[row].ns[column]);
    print_percent(there);
    print("   distance");
    print_percent(here - there);
    print("\n");

    struct json j;
    json_begin(&j, "seed");
    json_str(&j, "policy", rows[row].policy);
    json_str(&j, "published_as", rows[row].published_as);
    json_u64(&j, "cpus", threads[column]);
    json_str(&j, "cost", cost_model_name());
    json_str(&j, "trust", bench_trust());
    json_u64(&j, "p50", ours);
    json_s64(&j, "permille", here);
    json_u64(&j, "published_ns", rows[row].ns[column]);
    json_s64(&j, "published_permille", there);
    json_end(&j);
}

/* The order that was published, at each number of threads with somebody to tell. */
static void print_order(u32 column)
{
    bool measured = true, holds = true;
    for (u32 r = 0; r < ARRAY_SIZE(rows); r++) {
        measured = measured && result[r][column];
        holds = holds && (r == 0 || result[r][column] < result[r - 1][column]);
    }
    if (!measured)
        return;
    print("  %u threads: base > concurrent > early ack > as posted %s\n", threads[column],
          emulator == EMULATOR_TCG ? "is not judged: these ticks are the host's"
          : holds                  ? "holds"
                                   : "does NOT hold: a finding");
}

static void run_column(struct bench_run *b, u32 column)
{
    u32 cpus = threads[column];
    if (cpus > cpu_online_count()) {
        print("  %u threads left out: there are %u CPUs\n", cpus, cpu_online_count());
        return;
    }
    err_t e = bench_occupy(cpus, busy_loop, NULL);
    if (e == ERR_OK) {
        load(space);
        CPUMASK_FOREACH (c, &cpus_online) {
            if (c == cpu_self() || c >= cpus)
                continue;
            struct wait w = WAIT("a busy CPU to load the space", wait_ms(1000));
            while (!cpumask_test_relaxed(&space->active, c) && wait_spin(&w))
                ;
        }
        for (u32 r = 0; r < ARRAY_SIZE(rows); r++) {
            if (shootdown_policy_set(rows[r].policy) == ERR_OK)
                result[r][column] = measure(b, shootdown_policy(), cpus);
            else
                print("  %s left out: it is broken on purpose and needs unsafe=yes\n", rows[r].published_as);
        }
        load(NULL);
    } else {
        bench_refuse(b, "seed: the busy CPUs could not be started: %s", err_name(e));
    }
    bench_release();
}

static void run(struct bench_run *b)
{
    const struct shootdown_policy *before = shootdown_policy();
    if (space_create(&space) != ERR_OK ||
        space_map_fresh(space, BASE, 2, PT_WRITE, FRAME_OWNER_USER) != ERR_OK)
        panic("seed: no memory for two pages");
    for (u32 c = 0; c < COLUMNS; c++) {
        for (u32 r = 0; r < ARRAY_SIZE(rows); r++)
            result[r][c] = 0;
        run_column(b, c);
    }
    if (shootdown_policy_set(before->name) != ERR_OK)
        panic("seed: the policy before cannot be set again");
    print("  %-20s %7s %8s   against base (cost model: %s)\n", "policy, as published", "threads", "ticks",
          cost_model_name());
    for (u32 c = 0; c < COLUMNS; c++)
        for (u32 r = 0; r < ARRAY_SIZE(rows); r++)
            compare(r, c);
    for (u32 c = 1; c < COLUMNS; c++)
        print_order(c);
    space_destroy(space);
}
BENCH_ON_REQUEST(seed, "the table of the 2019 series: one page given back and touched again", run);
