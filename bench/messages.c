/* messages: what it costs ring 3 to be heard, by the program `courier`.
 *
 *   null         a system call that does nothing
 *   kernel_call  a message of the kernel to one CPU, until its function has run: the same line without threads
 *   one_way      a message to a thread that waits on another CPU: from its sending to the receiver's first instruction after it
 *   call         a call and its reply, the other thread on another CPU
 *   call_here    the same, the other thread on the same CPU
 *   yield        to another thread of the same process and CPU, and back
 *
 * "cpus" of a record is how many take part. The clocks of two CPUs are compared only where they are in step (tsc_synchronised of
 * the machine record). */
#include "bench/bench.h"
#include "bench/counts.h"
#include "bench/effort.h"
#include "kernel/abi/workload.h"
#include "kernel/process.h"
#include "lib/log.h"
#include "smp/message.h"

#define COUNT    512u
#define LIMIT_MS 20000u /* hang detector */

static u64 counted;
static void count(struct msg_in *in)
{
    counted += in->word[0];
}
MSG_KIND(bench_messages, count);

/* Of `rounds` operations since `before`. */
static void show(const char *metric, u32 cpus, const char *responders, struct samples *s,
                 struct bench_signals before, u64 rounds)
{
    struct bench_key k = {.bench = "messages", .metric = metric, .responders = responders, .cpus = cpus};
    bench_signals_record(&k, before, rounds, s->n);
    bench_row(&k, s);
}

static bool run_courier(struct bench_run *b, const char *metric, u64 op, u64 rounds, struct workload **out,
                        struct process **p_out)
{
    struct process *p;
    void *view;
    thread_handle_t h;
    s64 status = -1;
    err_t e = process_create("courier", &p);
    if (e != ERR_OK) {
        bench_refuse(b, "messages %s: the program courier: %s", metric, err_name(e));
        return false;
    }
    e = process_share_pages(p, WORKLOAD_VA, ALIGN_UP(sizeof(struct workload), PAGE_SIZE) / PAGE_SIZE, &view);
    struct workload *w = view;
    if (e == ERR_OK) {
        w->op = op;
        w->count = rounds;
        e = process_start(p, 0, WORKLOAD_VA, &h);
    }
    if (e == ERR_OK)
        e = process_wait(p, LIMIT_MS, &status);
    if (e != ERR_OK || status != 0 || w->samples != rounds) {
        bench_refuse(b, "messages %s: %s, status %lld", metric, err_name(e), (long long)status);
        if (e == ERR_TIMEOUT)
            process_kill(p);
        process_unref(p);
        return false;
    }
    *out = w;
    *p_out = p;
    return true;
}

static void measure(struct bench_run *b, const char *metric, u64 op, u32 cpus)
{
    struct workload *w;
    struct process *p;
    if (bench_out_of_time())
        return;
    bench_effort_begin();
    bench_counts_cell_begin();
    if (bench_counting()) { /* once with a few, for what starting and ending cost */
        if (!run_courier(b, metric, op, SAMPLES_WARMUP, &w, &p))
            return;
        process_unref(p);
        bench_counts_deduct();
    }
    struct bench_signals before = bench_signals_now();
    bool ran = run_courier(b, metric, op, COUNT, &w, &p);
    bench_counts_cell_end(ran ? COUNT - SAMPLES_WARMUP : 0);
    if (!ran)
        return;
    struct samples *s = samples_get(SAMPLES_INITIATOR);
    /* What a message's time contains of readings is half an interval's, at each end: left in. */
    u64 less = op == WORKLOAD_MAIL_SEND ? 0 : w->overhead;
    for (u64 i = SAMPLES_WARMUP; i < w->samples; i++)
        samples_add(s, w->sample[i] > less ? w->sample[i] - less : 0);
    process_unref(p);
    show(metric, cpus, "ring3", s, before, COUNT);
}

static void measure_kernel_call(struct bench_run *b)
{
    struct samples *s = samples_get(SAMPLES_INITIATOR);
    if (bench_occupy(2, bench_spin, NULL) != ERR_OK) {
        bench_refuse(b, "messages kernel_call: CPU 1 could not be kept busy");
        bench_release();
        return;
    }
    struct msg m = {.kind = &bench_messages, .flags = MSG_SYNC, .word = {1}};
    u64 before = atomic_load_relaxed(&counted);
    struct bench_signals signals = bench_signals_now();
    bench_effort_begin();
    bench_counts_cell_begin();
    for (u32 i = 0; i < COUNT; i++) {
        bench_jitter();
        u64 start = rdtsc_ordered();
        err_t e = msg_call(1, &m);
        u64 ticks = bench_elapsed(start, rdtsc_ordered());
        if (e == ERR_OK && i >= SAMPLES_WARMUP)
            samples_add(s, ticks);
    }
    bench_counts_cell_end(COUNT);
    bench_release();
    if (atomic_load_relaxed(&counted) - before != COUNT)
        bench_refuse(b, "messages kernel_call: not all messages ran");
    else
        show("kernel_call", 2, "kernel", s, signals, COUNT);
}

static void run(struct bench_run *b)
{
    bool two = cpu_online_count() > 1 && cpu_is_online(1) && !cpu_is_parked(1);
    bench_table_head("ticks");
    measure(b, "null", WORKLOAD_MAIL_NULL, 1);
    measure(b, "yield", WORKLOAD_MAIL_YIELD, 1);
    measure(b, "call_here", WORKLOAD_MAIL_CALL_HERE, 1);
    if (!two) {
        print("  the rest needs CPU 1\n");
        return;
    }
    measure_kernel_call(b);
    measure(b, "one_way", WORKLOAD_MAIL_SEND, 2);
    measure(b, "call", WORKLOAD_MAIL_CALL, 2);
}
BENCH(messages, "system calls, messages and switches of ring 3", run);
