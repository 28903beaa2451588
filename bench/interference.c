/* interference: the work that a busy CPU loses to each shootdown that it has to answer.
 *
 * The responders count turns of a loop that touches the pages which stay mapped. A sample is a pair of windows of the same
 * length: one in which the initiator only waits, one in which it unmaps a page as often as it can. What a responder's count falls
 * short of in the second is work lost: in ticks, for each shootdown ("stolen"). Beside it the time between its entry and IRET
 * that the handler takes would be "responder" of the shootdown benchmark; the rest is what the interruption does to the loop. */
#include "bench/bench.h"
#include "bench/counts.h"
#include "bench/effort.h"
#include "bench/policies.h"
#include "lib/atomic.h"
#include "lib/context.h"
#include "lib/log.h"
#include "lib/wait.h"
#include "mm/frame.h"
#include "mm/space.h"
#include "smp/cpus.h"

#define BASE       0x0000130000000000ull
#define PAIRS      16u
#define WINDOW_US  1000u
#define WORK_PAGES 8u

static struct {
    struct space *space;
    struct {
        u64 turns; /* written by its CPU */
    } CACHE_ALIGNED cpu[MAX_CPUS];
} work;

static void work_loop(void *arg)
{
    (void)arg;
    u64 *turns = &work.cpu[cpu_self()].turns;
    bench_load(work.space);
    while (!bench_should_stop()) {
        (void)*(volatile u64 *)(BASE + (*turns % WORK_PAGES) * PAGE_SIZE);
        atomic_store_relaxed(turns, *turns + 1);
        cpu_pause();
    }
    bench_load(NULL);
}

static u64 all_turns(u32 *workers)
{
    u64 sum = 0;
    *workers = 0;
    CPUMASK_FOREACH (c, &cpus_online)
        if (c != cpu_self()) {
            sum += atomic_load_relaxed(&work.cpu[c].turns);
            (*workers)++;
        }
    return sum;
}

/* One window: turns of all workers, and shootdowns made, if any are asked for. */
struct window {
    u64 ticks, turns, shootdowns;
};

static struct window run_window(bool shoot, u32 *workers, bool *worked)
{
    vaddr_t va = BASE + 256 * PAGE_SIZE;
    struct window w = {.turns = all_turns(workers)};
    u64 start = rdtsc(), limit = tsc_from_us(WINDOW_US);
    while (rdtsc() - start < limit) {
        if (shoot) {
            *worked = *worked && bench_map_and_unmap(work.space, va);
            w.shootdowns++;
        }
        cpu_pause();
    }
    w.ticks = rdtsc() - start;
    w.turns = all_turns(workers) - w.turns;
    return w;
}

static void show(const struct shootdown_policy *p, struct samples *s, struct bench_signals before,
                 u64 shootdowns, u64 irqs)
{
    struct bench_key k = {.bench = "interference",
                          .policy = p->name,
                          .served_by = shootdown_route(p, TLB_ENTERED, false)->name,
                          .op = "unmap",
                          .responders = "kernel",
                          .metric = "stolen",
                          .cpus = cpu_online_count(),
                          .pages = 1};
    bench_signals_record(&k, before, shootdowns, s->n);
    print("  %s: %llu shootdowns, %llu interrupts\n", p->name, (unsigned long long)shootdowns,
          (unsigned long long)irqs);
    bench_row(&k, s);
}

static void measure(struct bench_run *b, const struct shootdown_policy *p)
{
    struct samples *s = samples_get(SAMPLES_INITIATOR);
    struct cell_clock clock;
    bool worked = true;
    u32 workers;
    u64 shootdowns = 0;
    err_t e = bench_occupy(cpu_online_count(), work_loop, NULL);
    if (e != ERR_OK) {
        bench_refuse(b, "interference: the other CPUs could not be started: %s", err_name(e));
        bench_release();
        return;
    }
    bench_load(work.space);
    (void)run_window(true, &workers, &worked); /* warm-up */
    struct bench_signals before = bench_signals_now();
    cell_begin(&clock);
    for (u32 i = 0; i < (bench_counting() ? 1 : PAIRS) && worked; i++) {
        struct window quiet = run_window(false, &workers, &worked),
                      busy = run_window(true, &workers, &worked);
        /* What the workers would have done in the busy window, at the quiet one's rate. */
        u64 due = quiet.turns * busy.ticks / quiet.ticks;
        u64 lost = due > busy.turns ? due - busy.turns : 0;
        u64 ticks_a_turn_1000 = quiet.turns ? quiet.ticks * workers * 1000 / quiet.turns : 0;
        samples_add(s, busy.shootdowns ? lost * ticks_a_turn_1000 / 1000 / (busy.shootdowns * workers) : 0);
        shootdowns += busy.shootdowns;
    }
    cpu_t unflushed = bench_wait_gone(work.space, p);
    u64 irqs = bench_signals_now().irqs - before.irqs;
    bench_counts_cell_end(shootdowns);
    if (!worked || !shootdowns)
        bench_refuse(b, "interference under %s: an unmap had no effect", p->name);
    else if (unflushed != CPU_NONE)
        bench_refuse(b, "interference under %s: CPU %u still has the last page", p->name, unflushed);
    else
        show(p, s, before, shootdowns, irqs);
    bench_load(NULL);
    bench_release();
}

static void run(struct bench_run *b)
{
    if (cpu_online_count() < 2) {
        print("  needs 2 CPUs, there is 1: nothing to measure\n");
        return;
    }
    if (space_create(&work.space) != ERR_OK ||
        space_map_fresh(work.space, BASE, WORK_PAGES, PT_WRITE, FRAME_OWNER_USER) != ERR_OK)
        panic("interference: no memory for a space");
    bench_each_policy(b, "ticks a shootdown", measure);
    space_destroy(work.space);
}
BENCH_ON_REQUEST(interference, "work that a busy CPU loses to each shootdown", run);
