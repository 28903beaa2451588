/* ipi, the rest: an interrupt to oneself, one way to another CPU, and all to all at once. */
#include "bench/ipi.h"

#include "apic/apic.h"
#include "kernel/trap.h"
#include "kernel/tsc_sync.h"
#include "lib/assert.h"
#include "lib/atomic.h"
#include "lib/counter.h"
#include "lib/log.h"
#include "lib/wait.h"
#include "smp/message.h"

#define ANSWER_LIMIT_MS 5000u /* hang detector */
#define MESH_LIMIT_MS   20000u

/* ---- self: from the command until the handler has counted ---- */

static void once_to_self(const u64 *count)
{
    u64 before = atomic_load_relaxed(count);
    struct wait w = WAIT("an interrupt to oneself", wait_ms(ANSWER_LIMIT_MS));
    apic_send_fixed_self(VECTOR_RAW);
    while (atomic_load_relaxed(count) == before)
        if (!wait_spin(&w))
            panic("CPU %u has not taken its own interrupt", cpu_self());
}

void ipi_self(struct bench_run *b)
{
    (void)b;
    const u64 *count = this_cpu_ptr(trap_raw_count);
    struct samples *s = samples_get(SAMPLES_INITIATOR);
    u64 icr = apic_icr_writes();
    struct cell_clock clock;
    cell_begin(&clock);
    cell_watch(&clock, s);
    while (cell_continue(&clock)) {
        bench_jitter();
        u64 start = rdtsc_ordered();
        once_to_self(count);
        u64 ticks = bench_elapsed(start, rdtsc_ordered());
        if (!cell_warming_up(&clock))
            samples_add(s, ticks);
    }
    struct bench_key k = {.bench = "ipi", .metric = "self", .responders = "kernel", .cpus = 1};
    k.icr = (apic_icr_writes() - icr) * s->n / clock.done;
    k.irqs = s->n;
    bench_row(&k, s);
}

/* ---- one way: until the first line of the function, on the target's clock ---- */

static u64 arrived CACHE_ALIGNED; /* the target's clock when the function began; 0 before */

static void note_arrival(struct msg_in *in)
{
    u64 now = rdtsc_ordered();
    (void)in;
    atomic_store_relaxed(&arrived, now);
}
MSG_KIND(bench_one_way, note_arrival);

/* The difference of the two clocks is known to within `doubt` only, which is said; where that is more than the figure, or the
 * clocks drift apart, half a round trip is the better answer, and this one is left out. */
void ipi_one_way(struct bench_run *b, cpu_t to)
{
    struct tsc_probe probe;
    struct samples *s = samples_get(SAMPLES_INITIATOR);
    struct msg m = {.kind = &bench_one_way, .flags = MSG_ASYNC};
    struct cell_clock clock;
    bench_release(); /* the probe needs the target's worker for itself */
    err_t e = tsc_is_synchronised() ? tsc_sync_probe(to, 0, &probe) : ERR_UNSUPPORTED;
    err_t occupied = bench_occupy(cpu_online_count(), bench_spin, NULL);
    if (occupied != ERR_OK) {
        bench_refuse(b, "ipi one_way: the other CPUs could not be kept busy: %s", err_name(occupied));
        return;
    }
    if (e != ERR_OK) {
        print("  one_way left out: the clocks of CPU 0 and CPU %u cannot be compared (%s)\n", to,
              err_name(e));
        return;
    }
    u64 icr = apic_icr_writes();
    cell_begin(&clock);
    cell_watch(&clock, s);
    while (cell_continue(&clock)) {
        struct wait w = WAIT("a message to arrive", wait_ms(ANSWER_LIMIT_MS));
        atomic_store_relaxed(&arrived, 0);
        bench_jitter();
        u64 start = rdtsc_ordered(), there;
        if (msg_send(to, &m) != ERR_OK)
            panic("a benchmark's message to CPU %u failed", to);
        while (!(there = atomic_load_relaxed(&arrived)))
            if (!wait_spin(&w))
                panic("a message to CPU %u has not arrived", to);
        s64 ticks = (s64)(there - start) - probe.offset;
        if (!cell_warming_up(&clock))
            samples_add(s, ticks > 0 ? bench_elapsed(0, (u64)ticks) : 0);
    }
    struct bench_key k = {.bench = "ipi", .metric = "one_way", .responders = "kernel", .cpus = 2};
    k.icr = (apic_icr_writes() - icr) * s->n / clock.done;
    k.irqs = s->n;
    bench_row(&k, s);
    print("  one_way: offset of the clocks %lld ticks, known to within %llu\n", (long long)probe.offset,
          (unsigned long long)probe.doubt);
}

/* ---- mesh: every CPU calls all others, all at once ---- */

static u64 calls[MAX_CPUS]; /* by receiver: each written by one CPU */

static void count_call(struct msg_in *in)
{
    (void)in;
    calls[cpu_self()]++;
}
MSG_KIND(bench_mesh, count_call);

static struct {
    u64 round CACHE_ALIGNED; /* raised by CPU 0: call all once */
    u32 done CACHE_ALIGNED;  /* CPUs that have in this round */
    u64 rounds_before;
} mesh;

static void call_all_others(void)
{
    cpumask_t others;
    struct msg m = {.kind = &bench_mesh, .flags = MSG_SYNC};
    cpumask_clear(&others);
    cpumask_snapshot(&others, &cpus_online);
    cpumask_unset(&others, cpu_self());
    if (msg_call_mask(&others, &m) != ERR_OK)
        panic("a mesh call of CPU %u failed", cpu_self());
    atomic_fetch_add(&mesh.done, 1);
}

static void mesh_loop(void *arg)
{
    (void)arg;
    u64 seen = mesh.rounds_before;
    while (!bench_should_stop()) {
        u64 round = atomic_load_relaxed(&mesh.round);
        if (round != seen) {
            seen = round;
            call_all_others();
        }
        cpu_pause();
    }
}

static void mesh_round(u32 online)
{
    struct wait w = WAIT("all CPUs to have called all", wait_ms(MESH_LIMIT_MS));
    atomic_store_relaxed(&mesh.done, 0);
    /* LOCKed: done is 0 before anyone sees the round. */
    atomic_fetch_add(&mesh.round, 1);
    call_all_others();
    while (atomic_load_relaxed(&mesh.done) != online)
        if (!wait_spin(&w))
            panic("%u of %u CPUs have finished a mesh round", atomic_load_relaxed(&mesh.done), online);
}

static u64 total_calls(void)
{
    u64 n = 0;
    for (cpu_t c = 0; c < cpu_count(); c++)
        n += atomic_load_relaxed(&calls[c]);
    return n;
}

void ipi_mesh(struct bench_run *b)
{
    u32 online = cpu_online_count();
    struct samples *s = samples_get(SAMPLES_INITIATOR);
    struct cell_clock clock;
    mesh.rounds_before = mesh.round;
    err_t e = bench_occupy(online, mesh_loop, NULL);
    if (e != ERR_OK) {
        bench_refuse(b, "ipi mesh: the other CPUs could not be started: %s", err_name(e));
        bench_release();
        return;
    }
    const struct counter *icr = counter_find("icr_writes"), *irqs = counter_find("msg_interrupts");
    ASSERT(icr && irqs, "the counters of commands and interrupts exist");
    u64 before = total_calls(), icr_before = counter_sum(icr), irqs_before = counter_sum(irqs);
    cell_begin(&clock);
    cell_watch(&clock, s);
    while (cell_continue(&clock)) {
        bench_jitter();
        u64 start = rdtsc_ordered();
        mesh_round(online);
        u64 ticks = bench_elapsed(start, rdtsc_ordered());
        if (!cell_warming_up(&clock))
            samples_add(s, ticks);
    }
    bench_release();
    u64 due = (u64)clock.done * online * (online - 1), ran = total_calls() - before;
    if (ran != due) {
        bench_refuse(b, "ipi mesh: %llu calls ran, %llu were made", (unsigned long long)ran,
                     (unsigned long long)due);
        return;
    }
    struct bench_key k = {.bench = "ipi", .metric = "mesh", .responders = "kernel", .cpus = online};
    k.irqs =
        (counter_sum(irqs) - irqs_before) * s->n / clock.done; /* fewer than messages: rings that merge */
    k.icr = (counter_sum(icr) - icr_before) * s->n / clock.done;
    bench_row(&k, s);
}
