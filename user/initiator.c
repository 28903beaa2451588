/* Times system calls that take memory away from other threads of its process: the first thread does, the others respond
 * (workload_respond). Each round the range is brought in by the initiator, touched by every responder, so that each entry is cached
 * everywhere; then comes the call, between two readings of the clock. Started by the `syscall` benchmark only. */
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
    w->sample[w->samples % WORKLOAD_SAMPLES] = ticks > w->overhead ? ticks - w->overhead : 0;
    /* orders: the sample before its number; pairs with: bench/syscall.c:collect (acquire, after the process's end); else: a
     * reader could take a sample that is not there yet. */
    atomic_store_release(&w->samples, w->samples + 1);
    return true;
}

s64 program(u64 arg)
{
    struct workload *w = workload_of(arg);
    if (!w) {
        say("the `syscall` benchmark starts this: bench syscall");
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
    for (u64 i = 0; i < w->count && !w->verdict.failures; i++)
        if (!run_round(w))
            break;
    atomic_store_relaxed(&w->stop, 1); /* the responders */
    return (s64)w->verdict.failures;
}
