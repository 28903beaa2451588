/* storm: every CPU initiates, in one space, as fast as it can.
 *
 * Each CPU maps, touches and unmaps a page of its own in a space that all have loaded, so every unmap has to reach all others. A
 * sample is one window of time:
 *
 *   throughput   unmaps of all CPUs together in a thousand million ticks
 *   fairness     Jain's index of the CPUs' counts, in thousandths: 1000 if all got the same, 1000/n if one got everything
 *
 * An unmap counts only if the table says that the page is gone; and in the end, when nobody initiates any more and all still have the space
 * loaded, the last unmap has reached every CPU. */
#include "bench/bench.h"
#include "bench/counts.h"
#include "bench/effort.h"
#include "bench/policies.h"
#include "lib/assert.h"
#include "lib/atomic.h"
#include "lib/context.h"
#include "lib/counter.h"
#include "lib/log.h"
#include "lib/wait.h"
#include "mm/frame.h"
#include "mm/space.h"
#include "smp/cpus.h"

#define STORM_BASE   0x0000120000000000ull
#define WINDOWS      8u
#define WINDOW_US    2000u
#define WARMUP       1u    /* windows dropped */
#define END_LIMIT_MS 5000u /* hang detector */

static struct {
    struct space *space;
    u32 wrong; /* operations without their effect */
    u32 ended; /* of the others: initiate no more */
    bool end CACHE_ALIGNED;
    struct {
        u64 done; /* unmaps; written by its CPU */
    } CACHE_ALIGNED cpu[MAX_CPUS];
} storm;

static void one_turn(void)
{
    vaddr_t va = STORM_BASE + cpu_self() * PAGE_SIZE;
    if (bench_map_and_unmap(storm.space, va))
        atomic_store_relaxed(&storm.cpu[cpu_self()].done, storm.cpu[cpu_self()].done + 1);
    else
        atomic_fetch_add(&storm.wrong, 1);
}

static void storm_loop(void *arg)
{
    (void)arg;
    bench_load(storm.space);
    while (!atomic_load_relaxed(&storm.end)) {
        one_turn();
        cpu_pause();
    }
    atomic_fetch_add(&storm.ended, 1);
    while (!bench_should_stop())
        cpu_pause();
    bench_load(NULL);
}

/* All initiate no more, and stay. False: somebody does not end, or a CPU has not been reached by the last unmap. */
static bool is_gone_everywhere(const struct shootdown_policy *p)
{
    struct wait w = WAIT("the others to initiate no more", wait_ms(END_LIMIT_MS));
    atomic_store_relaxed(&storm.end, true);
    while (atomic_load_relaxed(&storm.ended) != cpu_online_count() - 1)
        if (!wait_spin(&w))
            return false;
    return bench_wait_gone(storm.space, p) == CPU_NONE;
}

static u64 done_by(cpu_t c)
{
    return atomic_load_relaxed(&storm.cpu[c].done);
}

/* (sum x)^2 / (n * sum x^2), in thousandths. */
static u64 jain(const u64 *x, u32 n)
{
    u64 sum = 0, squares = 0;
    for (u32 i = 0; i < n; i++) {
        sum += x[i];
        squares += x[i] * x[i];
    }
    return squares ? sum * sum * 1000 / (n * squares) : 0;
}

static void window(struct samples *throughput, struct samples *fairness, bool warming_up)
{
    static u64 before[MAX_CPUS], count[MAX_CPUS];
    u32 n = 0;
    CPUMASK_FOREACH (c, &cpus_online)
        before[c] = done_by(c);
    u64 start = rdtsc(), limit = tsc_from_us(WINDOW_US);
    while (rdtsc() - start < limit) {
        one_turn();
        cpu_pause();
    }
    u64 ticks = rdtsc() - start, sum = 0;
    CPUMASK_FOREACH (c, &cpus_online) {
        count[n] = done_by(c) - before[c];
        sum += count[n++];
    }
    if (warming_up)
        return;
    samples_add(throughput, sum * 1000000000 / ticks);
    samples_add(fairness, jain(count, n));
}

/* The interrupts are those of one unmap, of which a sample has many. */
static void record(const struct shootdown_policy *p, const char *metric, const char *unit, struct samples *s,
                   struct bench_signals before, u64 unmaps)
{
    struct bench_key k = {.bench = "storm",
                          .policy = p->name,
                          .served_by = shootdown_route(p, TLB_ENTERED, false)->name,
                          .op = "unmap",
                          .responders = "kernel",
                          .metric = metric,
                          .unit = unit,
                          .cpus = cpu_online_count(),
                          .pages = 1,
                          .more_is_better = true};
    bench_signals_record(&k, before, unmaps, s->n);
    bench_row(&k, s);
}

static void measure(struct bench_run *b, const struct shootdown_policy *p)
{
    struct samples *throughput = samples_get(SAMPLES_INITIATOR), *fairness = samples_get(SAMPLES_RESPONDER);
    struct cell_clock clock;
    storm.wrong = storm.ended = 0;
    atomic_store_relaxed(&storm.end, false);
    err_t e = bench_occupy(cpu_online_count(), storm_loop, NULL);
    if (e != ERR_OK) {
        bench_refuse(b, "storm: the other CPUs could not be started: %s", err_name(e));
        bench_release();
        return;
    }
    bench_load(storm.space);
    const struct counter *shootdowns = counter_find("shootdowns");
    ASSERT(shootdowns, "the counter of shootdowns exists");
    cell_begin(&clock);
    u64 done = counter_sum(shootdowns);
    struct bench_signals before = bench_signals_now();
    for (u32 i = 0; i < (bench_counting() ? 1 : WARMUP + WINDOWS); i++)
        window(throughput, fairness, i < WARMUP);
    bool gone = is_gone_everywhere(p);
    done = counter_sum(shootdowns) - done;
    bench_counts_cell_end(done);
    bench_load(NULL);
    bench_release();
    if (storm.wrong)
        bench_refuse(b, "storm under %s: %u unmaps had no effect", p->name, storm.wrong);
    else if (!gone)
        bench_refuse(b, "storm under %s: a CPU still has what was unmapped last", p->name);
    else {
        print("  %s\n", p->name);
        record(p, "throughput", "op/Gtick", throughput, before, done);
        record(p, "fairness", "permille", fairness, before, done);
    }
}

static void run(struct bench_run *b)
{
    if (cpu_online_count() < 2) {
        print("  needs 2 CPUs, there is 1: nothing to measure\n");
        return;
    }
    if (space_create(&storm.space) != ERR_OK ||
        space_map_fresh(storm.space, STORM_BASE + 511 * PAGE_SIZE, 1, PT_WRITE, FRAME_OWNER_USER) != ERR_OK)
        panic("storm: no memory for a space"); /* the page keeps the table, so that plain unmaps stay plain */
    bench_each_policy(b, "all at once", measure);
    space_destroy(storm.space);
}
BENCH_ON_REQUEST(storm, "all CPUs initiate at once: throughput and fairness", run);
