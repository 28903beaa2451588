/* What a cell has cost the machine besides time: the counters that stand in every record, and the firmware's interrupts. */
#pragma once

#include "lib/json.h"

/* Called by cell_begin: what is counted from here on belongs to the cell. THREAD. */
void bench_effort_begin(void);
/* Adds to a record what has been counted since, over all CPUs and all operations of the cell, warm-up included. */
void bench_effort_record(struct json *j);
/* Prints a `conditions` record: what may disturb figures on this machine. */
void bench_conditions(void);
