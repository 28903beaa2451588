/* seed: the table of the series that this kernel is built around.
 *
 * N. Amit, "[RFC PATCH v2 00/12] x86: Flush remote TLBs concurrently and async", May 2019: on a Haswell, one thread gives one page
 * back (MADV_DONTNEED) and touches it again, in a loop; the other n-1 threads of the process run a busy loop. Nanoseconds of one
 * turn on the first thread, page fault included. "as posted" is the series as it was sent, which by mistake waited for nobody;
 * "early_ack" is the author's corrected figure.
 *
 * Here it is the same: threads of ring 3, of one process (the program `initiator`), SYS_DISCARD, a page fault, a page of zeroes. With
 * responders=kernel the loop is one of kernel threads besides (bench/seed_kernel.c). Times are not comparable, ratios to `sync` are, and
 * are printed beside the published ones, with their distance. What makes them differ: docs/benchmarks.md. Under cost=haswell; prices are
 * published measurements, never fitted to this table. */
#include "bench/seed.h"

#include "bench/counts.h"
#include "bench/initiator.h"
#include "kernel/cost.h"
#include "lib/features.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/string.h"
#include "smp/cpus.h"

#define TURNS (SAMPLES_WARMUP + 512u) /* in ring 3 */

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

static u64 result[ARRAY_SIZE(rows)][COLUMNS]; /* p50; 0: not measured */

u64 seed_record(const struct shootdown_policy *p, enum responder_kind kind, u32 cpus, struct samples *s,
                u64 turns, struct bench_signals before)
{
    bool lax = kind == RESPONDER_RING3; /* SYS_DISCARD promises no more than it has to */
    struct bench_key k = {.bench = "seed",
                          .policy = p->name,
                          .served_by =
                              (lax ? shootdown_route_lax : shootdown_route)(p, TLB_ENTERED, false)->name,
                          .op = "unmap",
                          .responders = responder_kind_name(kind),
                          .metric = "turn",
                          .cpus = cpus,
                          .pages = 1};
    bench_signals_record(&k, before, turns, s->n);
    bench_record(&k, s);
    return samples_percentile(s, 500);
}

/* ---- in ring 3 ---- */

/* Did every busy CPU forget the page in every turn? Under a policy that waits for nobody it may have been told of several at once. */
static bool all_have_forgotten(const struct initiator *c, const u64 *before, u64 turns)
{
    for (u32 i = 1; i < c->cpus; i++) {
        cpu_t cpu = (cpu_t)c->w->thread[i].cpu;
        if (cpu >= cpu_count() || initiator_forgotten(c, cpu) - before[cpu] < turns)
            return false;
    }
    return true;
}

u64 seed_measure_ring3(struct bench_run *b, const struct shootdown_policy *p, u32 cpus)
{
    static u64 before[MAX_CPUS];
    struct initiator c = {.op = WORKLOAD_RENEW, .cpus = cpus, .pages = 1, .rounds = TURNS};
    struct samples *s = samples_get(SAMPLES_INITIATOR);
    u64 p50 = 0;
    bench_effort_begin();
    for (cpu_t cpu = 0; cpu < cpu_count(); cpu++)
        before[cpu] = initiator_forgotten(&c, cpu);
    struct bench_signals signals = bench_signals_now();
    const char *wrong = bench_counting() ? initiator_count(&c) : initiator_run(&c);
    if (!wrong && !all_have_forgotten(&c, before, p->control ? 1 : TURNS - 1))
        wrong = "did not make every busy CPU forget the page every time";
    if (wrong) {
        bench_refuse(b, "seed: %s with %u threads %s", p->name, cpus, wrong);
    } else {
        initiator_samples(&c, s);
        p50 = seed_record(p, RESPONDER_RING3, cpus, s, TURNS, signals);
    }
    initiator_close(&c);
    return p50;
}

/* ---- the table ---- */

/* "-22.4 %" from -224. */
static void print_percent(s64 n)
{
    print(" %s%llu.%llu%%", n < 0 ? "-" : "+", (unsigned long long)((n < 0 ? -n : n) / 10),
          (unsigned long long)((n < 0 ? -n : n) % 10));
}

static void compare(enum responder_kind kind, u32 row, u32 column)
{
    u64 ours = result[row][column], base = result[0][column];
    if (!ours || !base)
        return;
    s64 here = bench_permille(ours, base), there = bench_permille(rows[row].ns[column], rows[0].ns[column]);
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
    json_str(&j, "responders", responder_kind_name(kind));
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

static void run_column(struct bench_run *b, enum responder_kind kind, u32 column)
{
    u32 cpus = threads[column];
    if (cpus > cpu_online_count()) {
        print("  %u threads left out: there are %u CPUs\n", cpus, cpu_online_count());
        return;
    }
    bool ready = kind == RESPONDER_RING3 || seed_kernel_begin(b, cpus);
    for (u32 r = 0; r < ARRAY_SIZE(rows) && ready; r++) {
        if (shootdown_policy_set(rows[r].policy) != ERR_OK)
            print("  %s left out: it is broken on purpose and needs unsafe=yes\n", rows[r].published_as);
        else if (kind == RESPONDER_RING3)
            result[r][column] = seed_measure_ring3(b, shootdown_policy(), cpus);
        else
            result[r][column] = seed_measure_kernel(b, shootdown_policy(), cpus);
    }
    if (kind != RESPONDER_RING3)
        seed_kernel_end();
}

static void run_table(struct bench_run *b, enum responder_kind kind)
{
    memset(result, 0, sizeof(result));
    for (u32 c = 0; c < COLUMNS; c++)
        run_column(b, kind, c);
    print("  %-20s %7s %8s   against base (threads: %s, cost model: %s)\n", "policy, as published", "threads",
          "ticks", responder_kind_name(kind), cost_model_name());
    for (u32 c = 0; c < COLUMNS; c++)
        for (u32 r = 0; r < ARRAY_SIZE(rows); r++)
            compare(kind, r, c);
    for (u32 c = 1; c < COLUMNS; c++)
        print_order(c);
}

static void run(struct bench_run *b)
{
    const struct shootdown_policy *before = shootdown_policy();
    bool ring3 = bench_axis_has_responders(RESPONDER_RING3),
         kernel = bench_axis_has_responders(RESPONDER_KERNEL);
    if (ring3)
        run_table(b, RESPONDER_RING3);
    if (kernel)
        run_table(b, RESPONDER_KERNEL);
    if (!ring3 && !kernel)
        bench_refuse(b, "seed: its busy threads are those of responders=ring3 or kernel");
    if (shootdown_policy_set(before->name) != ERR_OK)
        panic("seed: the policy before cannot be set again");
}
BENCH_ON_REQUEST(seed, "the table of the 2019 series: one page given back and touched again", run);
