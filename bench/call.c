/* call: what it costs to have a function run elsewhere, by the number of CPUs that it is to run on.
 *
 *   call         to n-1 others and oneself or not, acknowledged after the function has run
 *   call_entry   the same, acknowledged on entry
 *   call_nmi     the same as call, by NMI, which a CPU with interrupts off takes too
 *   call_self    on the running CPU: no line, no interrupt
 *
 * "cpus" of a record is the caller and its targets. ipi has the floor under these. */
#include "bench/bench.h"
#include "bench/counts.h"
#include "bench/effort.h"
#include "lib/atomic.h"
#include "lib/log.h"
#include "smp/message.h"

static u64 runs[MAX_CPUS]; /* each written by its CPU only */

static void count_run(struct msg_in *in)
{
    runs[cpu_self()] += in->word[0];
}
MSG_KIND(bench_call, count_run);

static u64 total_runs(void)
{
    u64 n = 0;
    for (cpu_t c = 0; c < cpu_count(); c++)
        n += atomic_load_relaxed(&runs[c]);
    return n;
}

static void call(const cpumask_t *targets, u32 flags, u64 count)
{
    struct msg m = {.kind = &bench_call, .flags = flags, .word = {count}};
    err_t e = msg_call_mask(targets, &m);
    if (e != ERR_OK)
        panic("a benchmark's call failed: %s", err_name(e));
}

static void measure(struct bench_run *b, const char *metric, const cpumask_t *targets, u32 flags, u32 cpus)
{
    struct samples *s = samples_get(SAMPLES_INITIATOR);
    struct bench_signals before = bench_signals_now();
    u64 ran = total_runs();
    struct cell_clock clock;
    cell_begin(&clock);
    cell_watch(&clock, s);
    while (cell_continue(&clock)) {
        bench_jitter();
        u64 start = rdtsc_ordered();
        call(targets, flags, 1);
        u64 ticks = bench_elapsed(start, rdtsc_ordered());
        if (!cell_warming_up(&clock))
            samples_add(s, ticks);
        bench_counts_pause();
        if (flags & MSG_ASYNC)
            call(targets, MSG_SYNC, 0); /* what was acknowledged on entry has run when a later message has */
        bench_counts_resume();
    }
    struct bench_key k = {.bench = "call", .metric = metric, .responders = "kernel", .cpus = cpus};
    u32 own_messages = flags & MSG_ASYNC ? 2 : 1; /* the one behind is none of the operation's */
    bench_signals_record(&k, before, (u64)clock.done * own_messages, s->n);
    ran = total_runs() - ran;
    if (ran != (u64)clock.done * cpumask_count(targets))
        bench_refuse(b, "call %s: ran %llu times, called %llu times", metric, (unsigned long long)ran,
                     (unsigned long long)clock.done * cpumask_count(targets));
    else
        bench_row(&k, s);
}

static void targets_of(u32 cpus, cpumask_t *out)
{
    cpumask_clear(out);
    CPUMASK_FOREACH (c, &cpus_online)
        if (c != cpu_self() && cpumask_count(out) + 1 < cpus)
            cpumask_set(out, c);
}

static void run(struct bench_run *b)
{
    const struct bench_axis *axis = bench_axis_cpus();
    cpumask_t targets;
    if (!bench_axis_cpus_left(b))
        return;
    err_t e = bench_occupy(cpu_online_count(), bench_spin, NULL);
    if (e == ERR_OK) {
        bench_table_head("ticks");
        cpumask_clear(&targets);
        cpumask_set(&targets, cpu_self());
        measure(b, "call_self", &targets, MSG_SYNC, 1);
        for (u32 i = 0; i < axis->count && !bench_out_of_time(); i++) {
            if (axis->value[i] < 2)
                continue;
            u32 cpus = (u32)axis->value[i];
            targets_of(cpus, &targets);
            measure(b, "call", &targets, MSG_SYNC, cpus);
            measure(b, "call_entry", &targets, MSG_ASYNC, cpus);
            measure(b, "call_nmi", &targets, MSG_SYNC | MSG_NMI, cpus);
        }
    } else {
        bench_refuse(b, "call: the other CPUs could not be kept busy: %s", err_name(e));
    }
    bench_release();
}
BENCH_ON_REQUEST(call, "a function run on other CPUs, by their number", run);
