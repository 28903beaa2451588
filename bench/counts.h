/* What is counted rather than timed: cache lines that move between CPUs, and page-table entries that change, per operation.
 *
 * Before a benchmark is timed it runs once with the sites of lib/cost.h counting, in a few rounds a cell, and prints nothing. Each of
 * its records leaves its counts under its key; the record of the timed pass takes them from there. So counting costs the timed pass
 * nothing, and both run the same code. */
#pragma once

#include "lib/types.h"

struct bench_key;

struct bench_counts {
    u64 lines, pte_changes; /* of one operation, rounded */
};

/* counts=off leaves the pass out: records then say null, and a deterministic run is not moved by what it leaves behind (which frames are
 * cached). */
bool bench_counts_wanted(void);
/* Is this the pass that counts? */
bool bench_counting(void);
/* Around that pass. THREAD. */
void bench_counts_begin(void);
void bench_counts_end(void);

/* A cell's beginning and end, by bench/sample.c; for what has no rounds (windows, processes) by the benchmark itself. operations: those
 * in between; 0: there is nothing to be said of this cell. Nothing happens but in the pass that counts. */
void bench_counts_cell_begin(void);
void bench_counts_cell_end(u64 operations);
/* Around what is no part of the cell's operations: what is counted in between does not count. */
void bench_counts_pause(void);
void bench_counts_resume(void);

/* For a program, whose start and end cannot be left out: everything so far was a run of it with few operations. It does not count, and is taken
 * off once more from the run that follows, which has more: the difference is what bench_counts_cell_end is told. */
void bench_counts_deduct(void);

/* When a run begins: nothing is known of any cell. What an earlier run has counted is not of this one, which may have counts=off. */
void bench_counts_clear(void);
/* Of the cell that has ended last. A record whose own metric was never counted has the counts of its cell. */
void bench_counts_store(const struct bench_key *k);
bool bench_counts_find(const struct bench_key *k, struct bench_counts *c);
