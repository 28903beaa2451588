/* The churn of the literature: one thread writes to its pages and gives them back (SYS_DISCARD, the MADV_DONTNEED of other systems),
 * in a loop, while the others keep reading them. A worst case for shootdowns: nothing else happens.
 *
 * It is a test as well. Round r writes r to every page; when the discard has returned, `done` is r. A reader that takes `done` first
 * and then sees a page with that number or a lower one, but 0, has used a translation that was gone. */
#include "user/lib/atomic.h"
#include "user/lib/check.h"
#include "user/lib/cpu.h"
#include "user/lib/print.h"
#include "user/lib/start.h"
#include "user/lib/thread.h"
#include "user/lib/workload.h"

#define PAGES           16u
#define ROUNDS_USUAL    2000u
#define READERS_AT_MOST 64u

/* In one round of so many the writer waits until every reader has been round all pages: then each entry is cached when it goes. */
#define WAIT_EVERY 4u

static u64 area, done, stop;
static struct {
    u64 turns __attribute__((aligned(64)));
} readers[READERS_AT_MOST];

static s64 read_on(u64 number)
{
    u64 turns = 0;
    double sum = 0; /* what the vector registers hold survives the interruptions */
    while (!atomic_load_relaxed(&stop)) {
        for (u64 i = 0; i < PAGES; i++) {
            /* orders: this look before the page's; pairs with: user/churn.c:program (release); else: a page of a later round
             * could be taken for a stale one. */
            u64 gone = atomic_load_acquire(&done), found = touch_read(area + i * SYS_PAGE);
            if (found != 0 && found <= gone)
                check(false, "page %llu held round %llu after round %llu had been discarded", ULL(i),
                      ULL(found), ULL(gone));
        }
        sum += 0.5;
        atomic_store_relaxed(&readers[number].turns, ++turns);
        cpu_pause();
    }
    check(sum == 0.5 * (double)turns, "a register of ring 3 has changed while it was interrupted");
    return 0;
}

/* A turn that was begun before now may have passed the first pages already: the one after it has not. */
static void wait_for_readers(u64 count)
{
    u64 then[READERS_AT_MOST];
    for (u64 i = 0; i < count; i++)
        then[i] = atomic_load_relaxed(&readers[i].turns);
    for (u64 i = 0; i < count; i++)
        while (atomic_load_relaxed(&readers[i].turns) < then[i] + 2)
            cpu_pause();
}

static void churn(u64 rounds, u64 count, const struct workload *w)
{
    for (u64 r = 1; r <= rounds && !workload_stopped(w); r++) {
        for (u64 i = 0; i < PAGES; i++)
            touch_write(area + i * SYS_PAGE, r);
        if (r % WAIT_EVERY == 0)
            wait_for_readers(count);
        s64 e = sys_discard(area, PAGES * SYS_PAGE);
        check(e == 0, "discarding failed: %s", sys_error_name(e));
        /* orders: the end of the discard before its number; pairs with: user/churn.c:read_on (acquire); else: a reader could
         * blame a page that was still there. */
        atomic_store_release(&done, r);
        for (u64 i = 0; i < PAGES; i++) {
            u64 found = touch_read(area + i * SYS_PAGE);
            check(found == 0, "page %llu holds %llu after its discard", ULL(i), ULL(found));
        }
    }
}

s64 program(u64 arg)
{
    struct workload *w = workload_of(arg);
    struct thread reader[READERS_AT_MOST];
    u64 rounds = workload_count(w, arg, ROUNDS_USUAL), count = workload_threads(w, READERS_AT_MOST), cpu;
    check_begin(w);
    sys_thread_self(&cpu);
    s64 at = sys_map(0, PAGES * SYS_PAGE, SYS_MAP_WRITE);
    if (!check(at > 0, "no pages: %s", sys_error_name(at)))
        return check_end();
    area = (u64)at;

    u64 started = 0, cpus = (u64)sys_cpus(0, NULL);
    for (; started < count; started++) {
        s64 e = thread_create(&reader[started], read_on, started, (cpu + 1 + started) % cpus);
        if (!check(e == 0, "reader %llu: %s", ULL(started), sys_error_name(e)))
            break;
    }
    u64 begin = workload_ns();
    churn(rounds, started, w);
    u64 us = (workload_ns() - begin) / 1000, turns = 0;
    atomic_store_relaxed(&stop, 1);
    for (u64 i = 0; i < started; i++) {
        s64 status = -1, e = thread_join(&reader[i], &status);
        check(e == 0 && status == 0, "reader %llu ended with %lld (%s)", ULL(i), (long long)status,
              sys_error_name(e));
        turns += readers[i].turns;
    }
    say("%llu rounds of %u pages beside %llu readers: %llu us; readers' turns %llu", ULL(rounds), PAGES,
        ULL(started), ULL(us), ULL(turns));
    return check_end();
}
