/* Which benchmarks run, on busy CPUs, and what is said of them. */
#include "bench/bench.h"
#include "bench/counts.h"
#include "bench/effort.h"
#include "bench/progress.h"
#include "kernel/command.h"
#include "kernel/console.h"
#include "kernel/cost.h"
#include "kernel/worker.h"
#include "lib/assert.h"
#include "lib/atomic.h"
#include "lib/features.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/param.h"
#include "lib/string.h"
#include "lib/wait.h"
#include "mm/opt.h"
#include "smp/message.h"

static char requested[128];
static bool stop;

static const char *set_bench(const char *value)
{
    if (!*value || !string_copy(requested, sizeof(requested), value)) {
        requested[0] = 0;
        return "bench=default, bench=all, or names with commas (`bench` at the prompt lists them)";
    }
    return NULL;
}
PARAM(bench, "bench", "bench=default|all|NAME[,NAME...]: benchmarks to run after boot", set_bench);

/* make run is to end within a minute, with the boot and what the host's emulator makes of a second. */
static u64 limit_s = 30, run_start,
           spent; /* spent: ticks of the benchmarks before, passes that count left out */

static const char *set_bench_limit(const char *value)
{
    u64 n;
    if (!parse_u64(value, &n) || n < 1 || n > 86400)
        return "bench_limit=SECONDS, 1 to 86400";
    limit_s = n;
    return NULL;
}
PARAM(bench_limit, "bench_limit",
      "bench_limit=SECONDS: leave out the cells that are not reached by then (1 to 86400)", set_bench_limit);

static bool cut; /* the running benchmark has been told that its time is up */

bool bench_out_of_time(void)
{
    cut |= rdtsc() - run_start > tsc_from_us(limit_s * 1000000);
    return cut;
}

const char *bench_requested(void)
{
    return requested[0] ? requested : NULL;
}

/* An emulator's clock counts something else than time on hardware does; which, decides what its figures are good for. */
const char *bench_trust(void)
{
    switch (emulator) {
    case EMULATOR_NONE:
        return "hardware";
    case EMULATOR_BOCHS:
        return "deterministic"; /* instructions: exact and repeatable; no caches, no delays of the wire */
    case EMULATOR_TCG:
        return "emulated"; /* host time of translated code: only orders of magnitude */
    case EMULATOR_KVM:
    case EMULATOR_OTHER:
    default:
        return "virtualised";
    }
}

/* What tells one distribution from another, the same in all records of it. */
static void add_key(struct json *j, const struct bench_key *k)
{
    json_str(j, "bench", k->bench);
    if (k->policy)
        json_str(j, "policy", k->policy);
    if (k->served_by)
        json_str(j, "served_by", k->served_by);
    json_str(j, "delivery", msg_delivery_name());
    if (opt_is_chosen())
        json_str(j, "opt", opt_text());
    json_u64(j, "cpus", k->cpus);
    if (k->pages)
        json_u64(j, "pages", k->pages);
    if (k->op)
        json_str(j, "op", k->op);
    if (k->responders)
        json_str(j, "responders", k->responders);
    if (k->initiator)
        json_str(j, "initiator", k->initiator);
    if (k->fanout)
        json_u64(j, "fanout", k->fanout);
    json_str(j, "metric", k->metric);
    json_str(j, "unit", k->unit ? k->unit : "tick");
}

static bool raw;

static const char *set_raw(const char *value)
{
    return parse_on_off(value, &raw) ? NULL : "raw=yes or raw=no";
}
PARAM(raw, "raw", "raw=yes: print every sample of a benchmark, in `raw` records before its `bench` record",
      set_raw);

/* A line of samples, of at most 20 digits each, is within what a record can hold. */
#define RAW_A_LINE 64u

static void record_raw(const struct bench_key *k, const struct samples *s)
{
    for (u32 i = 0; i < s->n; i += RAW_A_LINE) {
        struct json j;
        json_begin(&j, "raw");
        add_key(&j, k);
        json_u64(&j, "first", i);
        json_u64_list(&j, "samples", s->value + i, MIN(RAW_A_LINE, s->n - i));
        json_end(&j);
    }
}

/* null: not counted, because the benchmark has no cells with rounds, or the machine has one CPU only. */
static void add_counts(struct json *j, const struct bench_key *k)
{
    struct bench_counts counts;
    if (bench_counts_find(k, &counts)) {
        json_u64(j, "lines", counts.lines);
        json_u64(j, "pte_changes", counts.pte_changes);
    } else {
        json_str(j, "lines", NULL);
        json_str(j, "pte_changes", NULL);
    }
}

void bench_record(const struct bench_key *k, struct samples *s)
{
    if (bench_counting()) {
        bench_counts_store(k);
        return;
    }
    if (raw) {
        ASSERT(!s->sorted,
               "samples are recorded before anybody looks at them: raw ones are in the order taken");
        record_raw(k, s);
    }
    struct json j;
    json_begin(&j, "bench");
    add_key(&j, k);
    if (k->more_is_better)
        json_str(&j, "better", "more");
    u64 low, high;
    samples_median_interval(s, &low, &high);
    json_u64(&j, "n", s->n);
    json_u64(&j, "min", samples_percentile(s, 0));
    json_u64(&j, "p50", samples_percentile(s, 500));
    json_u64(&j, "p50_low", low);
    json_u64(&j, "p50_high", high);
    json_u64(&j, "p90", samples_percentile(s, 900));
    json_u64(&j, "p99", samples_percentile(s, 990));
    json_u64(&j, "p999", samples_percentile(s, 999));
    json_u64(&j, "max", samples_percentile(s, 1000));
    json_u64(&j, "mean", samples_mean(s));
    json_u64(&j, "overhead", bench_overhead());
    json_str(&j, "trust", k->trust ? k->trust : bench_trust());
    json_str(&j, "cost", cost_model_name());
    json_u64(&j, "icr", s->n ? (k->icr + s->n / 2) / s->n : 0);
    json_u64(&j, "irqs", s->n ? (k->irqs + s->n / 2) / s->n : 0);
    add_counts(&j, k);
    bench_effort_record(&j);
    json_end(&j);
    progress_record(k, s);
}

void bench_table_head(const char *unit)
{
    print("  %-18s %4s %9s %9s %9s %9s %9s %7s\n", unit, "CPUs", "min", "p50", "p99", "max", "mean", "n");
}

void bench_row(const struct bench_key *k, struct samples *s)
{
    bench_record(k, s); /* first: what looks at percentiles sorts */
    print("  %-18s %4u %9llu %9llu %9llu %9llu %9llu %7u\n", k->metric, k->cpus,
          (unsigned long long)samples_percentile(s, 0), (unsigned long long)samples_percentile(s, 500),
          (unsigned long long)samples_percentile(s, 990), (unsigned long long)samples_percentile(s, 1000),
          (unsigned long long)samples_mean(s), s->n);
}

void bench_refuse(struct bench_run *b, const char *fmt, ...)
{
    char text[160];
    va_list ap;
    va_start(ap, fmt);
    vformat(text, sizeof(text), fmt, ap);
    va_end(ap);
    b->refused++;
    if (!bench_counting()) /* the timed pass will say it */
        console_fail("benchmark refused: %s", text);
}

bool bench_should_stop(void)
{
    return atomic_load_relaxed(&stop);
}

void bench_spin(void *arg)
{
    (void)arg;
    while (!bench_should_stop())
        cpu_pause();
}

err_t bench_occupy(u32 cpus, void (*loop)(void *arg), void *arg)
{
    atomic_store_relaxed(&stop, false);
    for (cpu_t c = 1, busy = 1; busy < cpus; c++) {
        if (c >= cpu_count())
            return ERR_ABSENT;
        if (!cpu_is_online(c))
            continue;
        err_t e = worker_start(c, loop, arg);
        if (e != ERR_OK)
            return e;
        busy++;
    }
    return ERR_OK;
}

/* A loop looks at bench_should_stop at least once per pass over its pages; this is a hang detector. */
#define RELEASE_LIMIT_MS 5000u

void bench_release(void)
{
    atomic_store_relaxed(&stop, true);
    for (cpu_t c = 1; c < cpu_count(); c++)
        if (cpu_is_online(c) && worker_wait(c, RELEASE_LIMIT_MS) != ERR_OK)
            panic("the busy loop of CPU %u did not end", c);
}

static bool name_in_list(const char *list, const char *name)
{
    size_t n = strlen(name);
    for (const char *at = list; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
        if (strncmp(at, name, n) == 0 && (at[n] == 0 || at[n] == ','))
            return true;
    return false;
}

static u32 list_length(const char *list)
{
    u32 n = 1;
    for (; *list; list++)
        n += *list == ',';
    return n;
}

/* Its time is not the run's: bench_limit= says how long is measured. */
static void count_pass(const struct bench_entry *e)
{
    struct bench_run ignored = {0};
    if (!bench_counts_wanted())
        return;
    run_start = rdtsc();
    cut = false;
    bench_counts_begin();
    e->run(&ignored);
    bench_counts_end();
}

bool bench_run(const char *names)
{
    bool defaults = strcmp(names, "default") == 0, all = defaults || strcmp(names, "all") == 0;
    struct bench_run b = {0};
    u32 known = 0;

    bench_measure_overhead();
    bench_conditions();
    bench_counts_clear();
    spent = 0;
    TABLE_FOREACH (bench, struct bench_entry, e) {
        if (all ? defaults && e->on_request : !name_in_list(names, e->name))
            continue;
        known++;
        count_pass(e);
        u64 start = rdtsc();
        run_start = start - spent;
        cut = false;
        print("\nbench %s: %s\n", e->name, e->what);
        progress_begin(e->name, run_start, limit_s);
        e->run(&b);
        spent = rdtsc() - run_start;
        if (cut)
            print("  cells of %s left out: the time is up (bench_limit=)\n", e->name);
        print("(%s took %llu ms; figures are %s)\n", e->name,
              (unsigned long long)(tsc_to_ns(rdtsc() - start) / 1000000), bench_trust());
    }
    progress_end();
    if (!all && known != list_length(names)) {
        console_fail("bench=%s names a benchmark that does not exist; there are:", names);
        TABLE_FOREACH (bench, struct bench_entry, e)
            print("  %-12s %s\n", e->name, e->what);
        return false;
    }
    return b.refused == 0;
}

static void cmd_bench(int argc, char **argv)
{
    if (argc != 2) {
        print("default (those with *) | all, or names with commas, of:\n");
        TABLE_FOREACH (bench, struct bench_entry, e)
            print("%c %-12s %s\n", e->on_request ? ' ' : '*', e->name, e->what);
        return;
    }
    bench_run(argv[1]);
}
static void bench_words(void (*offer)(void *arg, const char *word), void *arg)
{
    offer(arg, "default");
    offer(arg, "all");
    TABLE_FOREACH (bench, struct bench_entry, e)
        offer(arg, e->name);
}
COMMAND_WITH_WORDS(bench, "bench [default|all|NAME[,NAME...]]",
                   "run benchmarks; axes: set pages=, cpus=, op=, policy=", cmd_bench, bench_words);
