/* What somebody at the screen sees of a run: how far it is, in the row below the text, and at its end a table and a chart of the policies.
 * Boot CPU, THREAD, never within what is timed. */
#pragma once

#include "bench/bench.h"

/* A benchmark begins, of a run that began at `start` (TSC) and leaves out what it has not reached after limit_s seconds. */
void progress_begin(const char *bench, u64 start, u64 limit_s);
/* A distribution is finished. */
void progress_record(const struct bench_key *k, struct samples *s);
/* The run has ended: the row is cleared; the table, if policies were compared. */
void progress_end(void);
