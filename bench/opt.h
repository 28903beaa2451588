/* Parts of the benchmark `opt`. */
#pragma once

#include "bench/bench.h"
#include "mm/opt.h"

/* A copy-on-write fault on CPU 0 while cpus - 1 others read the page: p50 in ticks, 0 if it was refused. The switches are in force. */
u64 opt_measure_copy(struct bench_run *b, u32 cpus);
