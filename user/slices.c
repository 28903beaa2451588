/* Threads that share a CPU and never give it up: each gets its share, by the timer alone. */
#include "user/lib/atomic.h"
#include "user/lib/check.h"
#include "user/lib/cpu.h"
#include "user/lib/print.h"
#include "user/lib/start.h"
#include "user/lib/thread.h"
#include "user/lib/workload.h"

#define THREADS  3u
#define MS_USUAL 120u
/* Some sixty slices pass in one look: two at the ends make little of it. But a busy host takes its share of an emulated CPU's at
 * random, which only a longer look evens out; the more such CPUs, the fewer turns has each. */
#define LOOKS 10u

static u64 stop, begun;
static struct {
    u64 turns;
} WORKLOAD_LINE share[THREADS];

static s64 spin(u64 i)
{
    atomic_fetch_add(&begun, 1);
    while (!atomic_load_relaxed(&stop)) {
        atomic_store_relaxed(&share[i].turns, share[i].turns + 1);
        cpu_pause();
    }
    return 0;
}

s64 program(u64 arg)
{
    struct workload *w = workload_of(arg);
    struct thread t[THREADS];
    u64 cpu, cpus = (u64)sys_cpus(0, NULL), least, most;
    check_begin(w);
    sys_thread_self(&cpu);
    /* Beside us, if there is another CPU, so that our sleep ends when it should. */
    u64 on = (cpu + 1) % cpus;
    for (u64 i = 0; i < THREADS; i++)
        if (!check(thread_create(&t[i], spin, i, on) == 0, "no thread %llu", ULL(i)))
            return check_end();
    while (atomic_load_relaxed(&begun) < THREADS)
        sys_thread_sleep(1000000);
    u64 before[THREADS];
    for (u64 i = 0; i < THREADS; i++)
        before[i] = atomic_load_relaxed(&share[i].turns);
    for (u32 look = 0; look < LOOKS + cpus / 16; look++) {
        sys_thread_sleep(workload_count(w, arg, MS_USUAL) * 1000000);
        least = ~0ull;
        most = 0;
        for (u64 i = 0; i < THREADS; i++) {
            u64 turns = atomic_load_relaxed(&share[i].turns) - before[i];
            least = MIN(least, turns);
            most = turns > most ? turns : most;
        }
        if (least > 0 && most < 3 * least)
            break;
    }
    atomic_store_relaxed(&stop, 1);
    for (u64 i = 0; i < THREADS; i++)
        check(thread_join(&t[i], NULL) == 0, "thread %llu cannot be joined", ULL(i));
    check(least > 0 && most < 3 * least, "the shares are %llu to %llu turns", ULL(least), ULL(most));
    say("shares of %llu to %llu turns", ULL(least), ULL(most));
    return check_end();
}
