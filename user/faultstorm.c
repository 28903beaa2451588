/* Page faults from all CPUs at once: on pages of each thread's own, and on pages that all touch at the same moment, so that several
 * faults of one page race. A page that came twice would lose what the others wrote to the first: each thread counts itself into
 * every shared page, and the sum has to be right. */
#include "user/lib/atomic.h"
#include "user/lib/check.h"
#include "user/lib/cpu.h"
#include "user/lib/print.h"
#include "user/lib/start.h"
#include "user/lib/thread.h"
#include "user/lib/workload.h"

#define PAGES           32u
#define ROUNDS_USUAL    100u
#define THREADS_AT_MOST 64u

static u64 shared, threads, rounds;
static u64 arrived, phase;

/* All threads, or the end. */
static void meet(void)
{
    u64 mine = atomic_load_relaxed(&phase);
    if (atomic_fetch_add(&arrived, 1) == threads - 1) {
        atomic_store_relaxed(&arrived, 0);
        /* orders: all that the threads did before they met, and the count, before the next phase; pairs with:
         * user/faultstorm.c:meet (acquire); else: a thread could find what another has not written yet. */
        atomic_store_release(&phase, mine + 1);
        return;
    }
    /* orders: what comes after the meeting behind it; pairs with: user/faultstorm.c:meet (release);
     * else: as there. */
    while (atomic_load_acquire(&phase) == mine)
        cpu_pause();
}

static void own_pages(u64 number, u64 round)
{
    s64 at = sys_map(0, PAGES * SYS_PAGE, SYS_MAP_WRITE);
    if (!check(at > 0, "thread %llu has no pages: %s", ULL(number), sys_error_name(at)))
        return;
    for (u64 i = 0; i < PAGES; i++) {
        u64 va = (u64)at + i * SYS_PAGE, found = touch_read(va + 8 * (number & 255));
        check(found == 0, "a fresh page of thread %llu holds %llx", ULL(number), ULL(found));
        touch_write(va, number << 32 | round);
    }
    for (u64 i = 0; i < PAGES; i++) {
        u64 found = touch_read((u64)at + i * SYS_PAGE);
        check(found == (number << 32 | round), "a page of thread %llu holds %llx", ULL(number), ULL(found));
    }
    s64 e = sys_unmap((u64)at, PAGES * SYS_PAGE);
    check(e == 0, "unmapping failed: %s", sys_error_name(e));
}

static s64 storm(u64 number)
{
    for (u64 r = 0; r < rounds; r++) {
        meet();
        for (u64 i = 0; i < PAGES; i++)
            atomic_fetch_add((u64 *)(shared + i * SYS_PAGE), 1);
        meet();
        if (number == 0) {
            for (u64 i = 0; i < PAGES; i++) {
                u64 found = touch_read(shared + i * SYS_PAGE);
                check(found == threads, "%llu of %llu threads have counted themselves into page %llu",
                      ULL(found), ULL(threads), ULL(i));
            }
            s64 e = sys_discard(shared, PAGES * SYS_PAGE);
            check(e == 0, "discarding failed: %s", sys_error_name(e));
        }
        own_pages(number, r);
    }
    return 0;
}

s64 program(u64 arg)
{
    struct workload *w = workload_of(arg);
    struct thread other[THREADS_AT_MOST];
    u64 cpu, cpus = (u64)sys_cpus(0, NULL), wanted = workload_threads(w, THREADS_AT_MOST);
    check_begin(w);
    rounds = workload_count(w, arg, ROUNDS_USUAL);
    sys_thread_self(&cpu);
    s64 at = sys_map(0, PAGES * SYS_PAGE, SYS_MAP_WRITE);
    if (!check(at > 0, "no pages: %s", sys_error_name(at)))
        return check_end();
    shared = (u64)at;

    threads = wanted + 1; /* before any of them looks */
    for (u64 i = 0; i < wanted; i++) {
        s64 e = thread_create(&other[i], storm, i + 1, (cpu + 1 + i) % cpus);
        if (!check(e == 0, "thread %llu: %s", ULL(i), sys_error_name(e)))
            return check_end(); /* with the process those that wait end too */
    }
    u64 begin = workload_ns();
    storm(0);
    u64 us = (workload_ns() - begin) / 1000;
    for (u64 i = 0; i < wanted; i++) {
        s64 status = -1, e = thread_join(&other[i], &status);
        check(e == 0 && status == 0, "thread %llu ended with %lld (%s)", ULL(i), (long long)status,
              sys_error_name(e));
    }
    say("%llu rounds, %llu threads, %llu faults at least: %llu us", ULL(rounds), ULL(threads),
        ULL(rounds * PAGES * (threads + 1)), ULL(us));
    return check_end();
}
