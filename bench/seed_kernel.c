/* The loop of the seed's table by threads of the kernel, beside that of ring 3 (bench/seed.c): what is left when there is no system call,
 * and no search for what a fault means. The page is unmapped, a touch faults (a real exception; it returns by the table of
 * instructions that may fault), a fresh page is mapped, the touch is made again. */
#include "bench/policies.h"
#include "bench/seed.h"
#include "kernel/trap.h"
#include "mm/frame.h"
#include "smp/cpus.h"
#include "smp/message.h"

#define BUSY 0x0000150000000000ull
#define PAGE (BUSY + PAGE_SIZE)

static struct responders busy; /* they never get a round: they touch the busy page */

bool seed_kernel_begin(struct bench_run *b, u32 threads)
{
    err_t e = responders_open(&busy, RESPONDER_KERNEL, false);
    if (e != ERR_OK) {
        bench_refuse(b, "seed: no space: %s", err_name(e));
        return false;
    }
    busy.start = PAGE;
    busy.pages = 1;
    busy.busy = BUSY;
    if (space_map_fresh(busy.space, BUSY, 2, PT_WRITE, FRAME_OWNER_USER) != ERR_OK)
        panic("seed: no memory for two pages");
    e = responders_start(&busy, threads - 1);
    if (e != ERR_OK)
        bench_refuse(b, "seed: %u busy threads of the kernel could not be started: %s", threads - 1,
                     err_name(e));
    else if (threads > 1)
        responders_cache(&busy); /* so they are there */
    return e == ERR_OK;
}

void seed_kernel_end(void)
{
    if (!busy.space)
        return;
    responders_stop(&busy);
    responders_close(&busy);
}

/* One turn; false if the page was not there before, or still usable afterwards. */
static bool one_turn(u64 *ticks)
{
    u64 before;
    bool cached = safe_read_u64((void *)PAGE, &before) == 0;
    bench_jitter();
    u64 start = rdtsc_ordered();
    err_t unmapped = space_unmap(busy.space, PAGE, PAGE + PAGE_SIZE);
    bool faulted = safe_write_u64((void *)PAGE, 1) == EXC_PAGE_FAULT;
    err_t mapped = space_map_fresh(busy.space, PAGE, 1, PT_WRITE, FRAME_OWNER_USER);
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
    if (msg_call_mask(&busy.cpus, &m) != ERR_OK)
        panic("seed: a busy CPU does not answer");
}

/* All busy CPUs have been interrupted in each turn; under a policy that does not wait several may have become one. */
static bool all_were_told(u64 interrupts, u64 turns, u32 threads, bool waits)
{
    return interrupts >= (waits ? turns : 1) * (threads - 1);
}

u64 seed_measure_kernel(struct bench_run *b, const struct shootdown_policy *p, u32 threads)
{
    struct samples *s = samples_get(SAMPLES_INITIATOR);
    struct bench_signals before = bench_signals_now();
    u64 ticks;
    bool worked = true;
    struct cell_clock clock;
    cell_begin(&clock);
    cell_watch(&clock, s);
    while (worked && cell_continue(&clock)) {
        worked = one_turn(&ticks);
        if (!cell_warming_up(&clock))
            samples_add(s, ticks);
    }
    settle();
    if (!worked || !all_were_told(bench_signals_now().irqs - before.irqs, clock.done, threads, !p->control)) {
        bench_refuse(b, "seed: %s with %u threads of the kernel %s", p->name, threads,
                     worked ? "did not interrupt every busy CPU" : "did not take the page away");
        return 0;
    }
    return seed_record(p, RESPONDER_KERNEL, threads, s, clock.done, before);
}
