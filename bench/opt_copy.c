/* The copy-on-write fault of `bench=opt`: one page, shared with a copy of the space, that this CPU writes to while others have it cached.
 * Timed is region_fault, from kernel code: the exception itself and the way back are not in it. */
#include "bench/counts.h"
#include "bench/effort.h"
#include "bench/opt.h"
#include "bench/responders.h"
#include "lib/counter.h"
#include "mm/frame.h"
#include "mm/region.h"
#include "mm/ticket_internal.h"
#include "smp/cpus.h"

#define BUSY 0x0000160000000000ull
#define PAGE (BUSY + PAGE_SIZE)

static struct responders responders;

/* One page is shared, cached by all, copied for us. NULL, or what is wrong. */
static const char *one_copy(u32 cpus, u64 *ticks, struct bench_signals *told)
{
    struct space *s = responders.space, *copy;
    struct fault_access write = {.write = true};
    bench_counts_pause();
    if (space_create(&copy) != ERR_OK || region_clone(s, copy) != ERR_OK)
        return "has no copy of the space";
    responders_cache(&responders);
    bench_jitter();
    paddr_t shared = space_query(s, PAGE).pa;
    bench_counts_resume();
    struct bench_signals before = bench_signals_now();
    u64 start = rdtsc_ordered();
    enum fault_result r = region_fault(s, PAGE, write);
    *ticks = bench_elapsed(start, rdtsc_ordered());
    struct bench_signals now =
        bench_signals_now(); /* every target has flushed, so it has entered its handler */
    *told = (struct bench_signals){.irqs = now.irqs - before.irqs, .icr = now.icr - before.icr};
    bench_counts_pause();
    const char *wrong = NULL;
    if (r != FAULT_RETRY || space_query(s, PAGE).pa.v == shared.v || !(space_query(s, PAGE).prot & PT_WRITE))
        wrong = "did not copy the page";
    if (cpumask_count(&s->active) != cpus)
        wrong = "does not have its CPUs in the space";
    CPUMASK_FOREACH (c, &s->active)
        if (!ticket_cpu_reached(s, c, s->gen, TLB_FLUSHED))
            wrong = "did not make every CPU forget the old page";
    region_destroy_all(copy);
    space_destroy(copy);
    bench_counts_resume();
    return wrong;
}

static u64 measure(struct bench_run *b, u32 cpus)
{
    struct samples *s = samples_get(SAMPLES_INITIATOR);
    const char *wrong = NULL;
    struct cell_clock clock;
    struct bench_signals told, all = {0};
    u64 ticks = 0;
    cell_begin(&clock);
    cell_watch(&clock, s);
    while (!wrong && cell_continue(&clock)) {
        wrong = one_copy(cpus, &ticks, &told);
        if (!wrong && !cell_warming_up(&clock)) {
            samples_add(s, ticks);
            all.icr += told.icr;
            all.irqs += told.irqs;
        }
    }
    if (wrong) {
        bench_refuse(b, "opt: copy on %u CPUs %s", cpus, wrong);
        return 0;
    }
    const struct shootdown_policy *p = shootdown_policy();
    struct bench_key k = {.bench = "opt",
                          .policy = p->name,
                          .served_by = shootdown_route(p, TLB_FLUSHED, false)->name,
                          .op = "copy",
                          .responders = "kernel",
                          .metric = "initiator",
                          .cpus = cpus,
                          .pages = 1,
                          .icr = all.icr,
                          .irqs = all.irqs};
    bench_record(&k, s);
    return samples_percentile(s, 500);
}

u64 opt_measure_copy(struct bench_run *b, u32 cpus)
{
    u64 p50 = 0;
    vaddr_t at;
    err_t e = responders_open(&responders, RESPONDER_KERNEL, false);
    if (e != ERR_OK) {
        bench_refuse(b, "opt: no space: %s", err_name(e));
        return 0;
    }
    e = space_map_fresh(responders.space, BUSY, 1, PT_WRITE, FRAME_OWNER_USER);
    if (e == ERR_OK)
        e = region_map(responders.space, PAGE, PAGE_SIZE, PT_WRITE, REGION_ZERO, PT_4K, &at);
    if (e == ERR_OK)
        e = region_populate(responders.space, PAGE, PAGE + PAGE_SIZE);
    responders.start = PAGE;
    responders.pages = 1;
    responders.busy = BUSY;
    if (e == ERR_OK)
        e = responders_start(&responders, cpus - 1);
    if (e == ERR_OK)
        p50 = measure(b, cpus);
    else
        bench_refuse(b, "opt: the page and its responders: %s", err_name(e));
    responders_stop(&responders);
    region_destroy_all(responders.space);
    responders_close(&responders);
    return p50;
}
