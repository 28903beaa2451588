/* Times system calls that take memory away from other threads of its process: the first thread does, the others respond
 * (workload_respond). Each round the range is brought in by the initiator, touched by every responder, so that each entry is cached
 * everywhere; then comes the call, between two readings of the clock. WORKLOAD_RENEW is a loop of another kind: the others only are
 * busy, and the time is that of giving one page back and touching it again, page fault included. Started by the benchmarks `syscall`
 * and `seed`. */
#include "user/lib/atomic.h"
#include "user/lib/check.h"
#include "user/lib/cpu.h"
#include "user/lib/print.h"
#include "user/lib/start.h"
#include "user/lib/sys.h"
#include "user/lib/workload.h"

static void measure_overhead(struct workload *w)
{
    u64 best = ~0ull;
    for (u32 i = 0; i < 64; i++) {
        u64 start = rdtsc_ordered(), ticks = rdtsc_ordered() - start;
        best = MIN(best, ticks);
    }
    w->overhead = best;
}

static ALWAYS_INLINE s64 operate(const struct workload *w)
{
    u64 bytes = w->pages * SYS_PAGE;
    switch (w->op) {
    case WORKLOAD_DISCARD:
        return sys_discard(w->start, bytes);
    case WORKLOAD_UNMAP:
        return sys_unmap(w->start, bytes);
    case WORKLOAD_PROTECT:
        return sys_protect(w->start, bytes, SYS_MAP_READ);
    default:
        return sys_null();
    }
}

/* Puts the range back, and sees by that that the call had its effect. */
static bool restore(const struct workload *w)
{
    u64 bytes = w->pages * SYS_PAGE, last = w->start + bytes - SYS_PAGE;
    s64 e;
    switch (w->op) {
    case WORKLOAD_DISCARD:
        return check(touch_read(last) == 0, "a discarded page still holds what was written");
    case WORKLOAD_UNMAP:
        e = sys_map(w->start, bytes, SYS_MAP_WRITE | SYS_MAP_FIXED);
        return check(e == (s64)w->start, "the range cannot be mapped again: %s", sys_error_name(e)) &&
               check(touch_read(last) == 0, "an unmapped page still holds what was written");
    case WORKLOAD_PROTECT:
        /* That a write faults now is tried by the program `stale`: here it would end the thread. */
        e = sys_protect(w->start, bytes, SYS_MAP_WRITE);
        return check(e == 0, "the range cannot be made writable again: %s", sys_error_name(e)) &&
               check(touch_read(last) == last, "a page has lost its contents to a change of its rights");
    default:
        return true;
    }
}

/* The range; and a page in the same page table, which keeps that alive. Not beside the range, or the two would be one region. */
static void prepare(const struct workload *w)
{
    u64 anchor = w->start - 2 * SYS_PAGE;
    s64 e = sys_map(anchor, SYS_PAGE, SYS_MAP_WRITE | SYS_MAP_FIXED);
    if (check(e == (s64)anchor, "no page for the table: %s", sys_error_name(e)))
        touch_write(anchor, 1);
    e = sys_map(w->start, w->pages * SYS_PAGE, SYS_MAP_WRITE | SYS_MAP_FIXED);
    check(e == (s64)w->start, "the range cannot be mapped: %s", sys_error_name(e));
}

static ALWAYS_INLINE void add_sample(struct workload *w, u64 ticks)
{
    w->sample[w->samples % WORKLOAD_SAMPLES] = ticks > w->overhead ? ticks - w->overhead : 0;
    /* orders: the sample before its number; pairs with: bench/initiator.c:initiator_samples (acquire, after the process's end); else:
     * a reader could take a sample that is not there yet. */
    atomic_store_release(&w->samples, w->samples + 1);
}

static bool run_round(struct workload *w)
{
    for (u64 i = 0; i < w->pages; i++)
        touch_write(w->start + i * SYS_PAGE, w->start + i * SYS_PAGE);
    if (!workload_begin_round(w, w->threads))
        return false;
    u64 begin = rdtsc_ordered();
    s64 e = operate(w);
    u64 ticks = rdtsc_ordered() - begin;
    if (!check(e == 0, "the call failed: %s", sys_error_name(e)) || !restore(w))
        return false;
    add_sample(w, ticks);
    return true;
}

static void call_all(struct workload *w)
{
    for (u64 i = 0; i < w->count && !w->verdict.failures; i++)
        if (!run_round(w))
            break;
}

/* The page is this CPU's before, with a word that shows whether it is the same page afterwards. */
static bool renew(struct workload *w)
{
    u64 page = w->start, evidence = page + SYS_PAGE / 2;
    touch_write(evidence, page);
    u64 begin = rdtsc_ordered();
    s64 e = sys_discard(page, SYS_PAGE);
    touch_write(page, 1);
    u64 ticks = rdtsc_ordered() - begin;
    add_sample(w, ticks);
    return check(e == 0, "the page cannot be given back: %s", sys_error_name(e)) &&
           check(touch_read(evidence) == 0, "a page that was given back still holds what was written");
}

/* The others show once that they are there, and then only are busy. */
static void renew_all(struct workload *w)
{
    if (w->verdict.failures || !workload_begin_round(w, w->threads))
        return;
    for (u64 i = 0; i < w->count && !workload_stopped(w); i++)
        if (!renew(w))
            break;
}

s64 program(u64 arg)
{
    struct workload *w = workload_of(arg);
    if (!w) {
        say("benchmarks start this: bench syscall, bench seed");
        return 1;
    }
    if (workload_number(arg)) {
        workload_respond(w, workload_number(arg));
        sys_thread_exit(0);
    }
    check_begin(w);
    measure_overhead(w);
    if (w->op != WORKLOAD_NULL)
        prepare(w);
    if (w->op == WORKLOAD_RENEW)
        renew_all(w);
    else
        call_all(w);
    atomic_store_relaxed(&w->stop, 1); /* the responders */
    return (s64)w->verdict.failures;
}
