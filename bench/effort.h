/* What a cell has cost the machine besides time: the counters that stand in every record, and the firmware's interrupts. */
#pragma once

#include "lib/json.h"

/* Called by cell_begin: what is counted from here on belongs to the cell. THREAD. */
void bench_effort_begin(void);
/* Adds to a record what has been counted since, over all CPUs and all operations of the cell, warm-up included. */
void bench_effort_record(struct json *j);
/* Interrupts that messages and shootdowns have taken so far, NMIs among them, on all CPUs, and interrupt commands written. What an idle CPU was
 * told by a store alone was no interrupt. */
struct bench_signals {
    u64 irqs, icr;
};
struct bench_signals bench_signals_now(void);
struct bench_key;
/* Fills in what a record says of them: all since `before` are of so many operations, of which n are samples. */
void bench_signals_record(struct bench_key *k, struct bench_signals before, u64 operations, u64 n);

/* Prints a `conditions` record: what may disturb figures on this machine, and what was chosen of the kernel that no key names. */
void bench_conditions(void);
