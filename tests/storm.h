/* The parts of the self test `storm`: what it counts, its actors in the kernel (storm_actor.c), and those who start, end and kill its
 * processes (storm_warden.c). */
#pragma once

#include "kernel/abi/storm.h"
#include "kernel/thread.h"
#include "lib/atomic.h"
#include "lib/percpu.h"
#include "tests/test.h"

#define STORM_ACTORS_MAX  16u /* of more, none would come to its turn on an emulated machine */
#define STORM_WARDENS_MAX 8u

/* Who tells what. A line each; written by one thread, read by the test. */
struct storm_counts {
    u64 done[STORM_KINDS];
    u64 wrong, found, expected; /* the first thing that was wrong, and how many were */
    char what[WORKLOAD_TEXT];
} CACHE_ALIGNED;

struct storm_run {
    u64 seed;
    u32 stop; /* everybody comes to an end */
    u32 ended;
    u32 guests; /* programs that need all CPUs: none is parked then */
    u32 parked; /* the CPU that is parked or is going to be; 0: none */
};
extern struct storm_run storm_run;

static inline bool storm_stopped(void)
{
    return atomic_load_relaxed(&storm_run.stop);
}

static inline void storm_count(struct storm_counts *c, enum storm_kind kind)
{
    atomic_store_relaxed(&c->done[kind], c->done[kind] + 1);
}
void storm_wrong(struct storm_counts *c, const char *what, u64 found, u64 expected);

/* xorshift*: for each actor a sequence of its own, which the seed and its number repeat. */
static inline u64 storm_random_begin(u64 seed, u64 number)
{
    return (seed ^ (number + 1) * 0x9e3779b97f4a7c15ull) | 1; /* never 0, where it would stay */
}
static inline u64 storm_random(u64 *state, u64 n)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (*state * 0x2545f4914f6cdd1dull >> 11) % n;
}

/* Starts `n` of them, one on each CPU that takes threads, as far as they go; how many. They end after storm_run.stop and count
 * themselves in storm_run.ended. THREAD. */
u32 storm_actors_start(struct test *t);
/* When all have ended: what is left of their spaces goes. */
void storm_actors_clear(void);
struct storm_counts *storm_actor_counts(u32 i);

u32 storm_wardens_start(struct test *t);
struct storm_counts *
storm_warden_counts(u32 i); /* the kernel's side; their processes' are added when these have ended */
