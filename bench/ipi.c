/* ipi: what an interrupt and a message cost between CPUs, the others spinning in the kernel.
 *
 *   self         an interrupt to oneself, until its handler has counted it
 *   one_way      a message, until its function's first line, by the target's clock; where the clocks can be compared
 *   mesh         every CPU calls all others at the same time, until all have run all
 *   harness      what measuring costs here, beyond the clock readings that are already subtracted
 *   raw          a bare vector: until its handler has counted it and the sender has seen that; one ICR write per target
 *   raw_all_but_self   the same to all others by one ICR write
 *   send         an asynchronous message, the sender's part only: fill the line, ring
 *   call_entry   a message acknowledged on entry, until the sender has seen the acknowledgement
 *   call         a message acknowledged after its function has run, until the sender has seen that
 *
 * "cpus" of a record is the sender and its targets. */
#include "bench/ipi.h"

#include "apic/apic.h"
#include "bench/counts.h"
#include "kernel/trap.h"
#include "lib/assert.h"
#include "lib/atomic.h"
#include "lib/counter.h"
#include "lib/log.h"
#include "lib/wait.h"
#include "smp/message.h"

#define ANSWER_LIMIT_MS 5000u /* hang detector */

static u64 runs[MAX_CPUS]; /* each written by one CPU; proves that the function ran */

static void count_run(struct msg_in *in)
{
    runs[cpu_self()] += in->word[0];
}
MSG_KIND(bench_count, count_run);

/* Everything that can be looked up before the measurement is. */
static cpumask_t targets;
static cpu_t first;
static const struct counter *msg_interrupts;
static u64 wait_limit;
static u32 target_count;
static struct {
    apic_id_t apic_id;
    const u64 *raw_count;
    u64 before;
} target[MAX_CPUS];

static void wait_raw(void)
{
    struct wait w = WAIT("a raw interrupt", wait_limit);
    for (u32 i = 0; i < target_count; i++)
        while (atomic_load_relaxed(target[i].raw_count) == target[i].before)
            if (!wait_spin(&w))
                panic("APIC id %u has not taken a raw interrupt", target[i].apic_id);
}

static void raw_before(void)
{
    for (u32 i = 0; i < target_count; i++)
        target[i].before = atomic_load_relaxed(target[i].raw_count);
}

static void raw_unicast(void)
{
    for (u32 i = 0; i < target_count; i++)
        apic_send_fixed(target[i].apic_id, VECTOR_RAW);
    wait_raw();
}

static void raw_all_but_self(void)
{
    apic_send_fixed_all_but_self(VECTOR_RAW);
    wait_raw();
}

static void check(err_t e)
{
    if (unlikely(e != ERR_OK))
        panic("a benchmark's message failed: %s", err_name(e));
}

static void send(void)
{
    struct msg m = {.kind = &bench_count, .flags = MSG_ASYNC, .word = {1}};
    check(msg_send(first, &m));
}
static void call_one(void)
{
    struct msg m = {.kind = &bench_count, .flags = MSG_SYNC, .word = {1}};
    check(msg_call(first, &m));
}
static void call_one_entry(void)
{
    struct msg m = {.kind = &bench_count, .flags = MSG_ASYNC, .word = {1}};
    check(msg_call(first, &m));
}
static void call_all(void)
{
    struct msg m = {.kind = &bench_count, .flags = MSG_SYNC, .word = {1}};
    check(msg_call_mask(&targets, &m));
}
static void call_all_entry(void)
{
    struct msg m = {.kind = &bench_count, .flags = MSG_ASYNC, .word = {1}};
    check(msg_call_mask(&targets, &m));
}
static void settle(void)
{
    check(msg_wait_mask(&targets));
}
static void nothing(void) {}

enum { TO_ONE = 1, TO_ALL = 2, MESSAGE = 4 };

static const struct {
    const char *metric;
    void (*before)(void), (*measured)(void), (*after)(void);
    u32 flags;
} metrics[] = {
    {"harness", nothing, nothing, nothing, TO_ONE},
    {"raw", raw_before, raw_unicast, nothing, TO_ONE | TO_ALL},
    {"raw_all_but_self", raw_before, raw_all_but_self, nothing, TO_ALL},
    {"send", nothing, send, settle, TO_ONE | MESSAGE},
    {"call_entry", nothing, call_one_entry, settle, TO_ONE | MESSAGE},
    {"call", nothing, call_one, nothing, TO_ONE | MESSAGE},
    {"call_entry", nothing, call_all_entry, settle, TO_ALL | MESSAGE},
    {"call", nothing, call_all, nothing, TO_ALL | MESSAGE},
};

/* What was acknowledged on entry may still be about to run: it has, when a later message of ours to the same CPU has run. It
 * counts nothing. */
static void let_all_run(void)
{
    struct msg m = {.kind = &bench_count, .flags = MSG_SYNC, .word = {0}};
    check(msg_call_mask(&targets, &m));
}

static u64 total_runs(void)
{
    u64 n = 0;
    CPUMASK_FOREACH (c, &targets)
        n += atomic_load_relaxed(&runs[c]);
    return n;
}

static u64 raw_interrupts(void)
{
    u64 n = 0;
    for (cpu_t c = 0; c < cpu_count(); c++)
        n += cpu_is_online(c) ? atomic_load_relaxed(&per_cpu(trap_raw_count, c)) : 0;
    return n;
}

/* Counted last thing by a handler that has long acknowledged, so not complete before the targets have taken a raw interrupt, which
 * has to wait until that handler has returned and, as its vector is the lower one, until no doorbell is pending. */
static u64 message_interrupts(void)
{
    raw_before();
    raw_unicast();
    return counter_sum(msg_interrupts);
}

static void measure(struct bench_run *b, u32 m)
{
    struct samples *s = samples_get(SAMPLES_INITIATOR);
    u64 messages = message_interrupts(), raw = raw_interrupts();
    u64 icr = apic_icr_writes(), ran = total_runs();
    u32 cpus = target_count + 1;
    struct cell_clock clock;
    cell_begin(&clock);
    cell_watch(&clock, s);
    while (cell_continue(&clock)) {
        metrics[m].before();
        bench_jitter();
        u64 start = rdtsc_ordered();
        metrics[m].measured();
        u64 ticks = bench_elapsed(start, rdtsc_ordered());
        bench_counts_pause();
        metrics[m].after();
        bench_counts_resume();
        if (!cell_warming_up(&clock))
            samples_add(s, ticks);
    }
    icr = apic_icr_writes() - icr;
    raw = raw_interrupts() - raw;
    messages = message_interrupts() - messages;
    if (metrics[m].flags & MESSAGE)
        let_all_run();
    if ((metrics[m].flags & MESSAGE) && total_runs() - ran != (u64)clock.done * target_count) {
        bench_refuse(b, "ipi %s: %llu messages ran, %llu were sent", metrics[m].metric,
                     (unsigned long long)(total_runs() - ran), (unsigned long long)clock.done * target_count);
        return;
    }
    struct bench_key k = {.bench = "ipi", .metric = metrics[m].metric, .responders = "kernel", .cpus = cpus};
    k.icr = icr * s->n / clock.done;
    k.irqs = (raw + messages) * s->n / clock.done;
    bench_row(&k, s);
}

static void find_targets(bool all)
{
    cpumask_clear(&targets);
    target_count = 0;
    CPUMASK_FOREACH (c, &cpus_online) {
        if (c == cpu_self() || (!all && target_count))
            continue;
        cpumask_set(&targets, c);
        target[target_count].apic_id = cpu_apic_id(c);
        target[target_count].raw_count = &per_cpu(trap_raw_count, c);
        target_count++;
    }
    first = cpumask_next(&targets, 0);
}

static void run(struct bench_run *b)
{
    u32 online = cpu_online_count();
    if (online < 2) {
        print("  needs 2 CPUs, there is 1: nothing to measure\n");
        return;
    }
    wait_limit = wait_ms(ANSWER_LIMIT_MS);
    msg_interrupts = counter_find("msg_interrupts");
    ASSERT(msg_interrupts, "the counter of message interrupts exists");
    err_t e = bench_occupy(online, bench_spin, NULL);
    if (e == ERR_OK) {
        bench_table_head("ticks");
        ipi_self(b);
        for (u32 to_all = 0; to_all <= (online > 2 ? 1u : 0u); to_all++) {
            find_targets(to_all);
            for (u32 m = 0; m < ARRAY_SIZE(metrics); m++)
                if (metrics[m].flags & (to_all ? TO_ALL : TO_ONE))
                    measure(b, m);
            if (!to_all)
                ipi_one_way(b, first);
        }
    } else {
        bench_refuse(b, "ipi: the other CPUs could not be kept busy: %s", err_name(e));
    }
    bench_release();
    if (e == ERR_OK)
        ipi_mesh(b);
}
BENCH(ipi, "interrupts and messages between CPUs: the floor", run);
