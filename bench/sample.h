/* Samples of one cell: how many, for how long, and what they say. */
#pragma once

#include "lib/types.h"

#define SAMPLES_MAX    4096u
#define SAMPLES_WARMUP 8u  /* dropped: first touches of code, slots and tables */
#define SAMPLES_FIRST  32u /* the first batch; doubled until the cell has run long enough */

struct samples {
    u32 n;
    bool sorted;
    u64 sum;
    u64 value[SAMPLES_MAX];
};

/* Room for many distributions of one cell would not fit a stack: take one of these. */
enum samples_use { SAMPLES_INITIATOR, SAMPLES_RESPONDER, SAMPLES_PHASE_FIRST, SAMPLES_USES = 16 };
struct samples *samples_get(u32 use); /* emptied */

void samples_add(struct samples *s, u64 v);
/* p in thousandths, 0 .. 1000: 500 is the median. Nearest rank. 0 if there are none. Sorts them. */
u64 samples_percentile(struct samples *s, u32 p);
u64 samples_mean(const struct samples *s);
/* The 95 % confidence interval of the median, by order statistics: no assumption on the distribution but independent samples.
 * Sorts them. Both 0 if there are none. */
void samples_median_interval(struct samples *s, u64 *low, u64 *high);

/* How long a cell runs: batches double until its median is known as precisely as precision= asks, or its time is over, or it
 * is full. Without cell_watch: until it has taken long enough.
 *
 *   struct cell_clock c;
 *   cell_begin(&c);
 *   cell_watch(&c, s);
 *   while (cell_continue(&c)) { ... one measured operation ...; if (!cell_warming_up(&c)) samples_add(...); }
 */
struct cell_clock {
    u64 start;
    u32 done, batch_end;
    struct samples *watched; /* NULL: its precision is not looked at */
};
void cell_begin(struct cell_clock *c);
void cell_watch(struct cell_clock *c, struct samples *s);
bool cell_continue(struct cell_clock *c);
static inline bool cell_warming_up(const struct cell_clock *c)
{
    return c->done <= SAMPLES_WARMUP;
}

/* What two readings of the clock with nothing between cost here: the smallest of some; subtracted by bench_elapsed. */
void bench_measure_overhead(void);
u64 bench_overhead(void);
static inline u64 bench_elapsed(u64 start, u64 end)
{
    u64 ticks = end - start, overhead = bench_overhead();
    return ticks > overhead ? ticks - overhead : 0;
}

/* 0 to 4 instructions, from a fixed seed: where a clock moves in steps (Bochs: 5), a sample then begins anywhere within one,
 * so that the mean resolves finer than the step. */
void bench_jitter(void);
