/* One cell of the seed's table: what bench/seed.c asks of whoever runs the loop. */
#pragma once

#include "bench/bench.h"
#include "bench/effort.h"
#include "mm/shootdown.h"

/* Measures one turn under the policy in force, and records it. The median in ticks; 0: refused, which has been said. THREAD, CPU 0. */
u64 seed_measure_ring3(struct bench_run *b, const struct shootdown_policy *p, u32 threads);
u64 seed_measure_kernel(struct bench_run *b, const struct shootdown_policy *p, u32 threads);

/* The cell's record, of `turns` turns since `before`, the warm-up among them. */
u64 seed_record(const struct shootdown_policy *p, enum responder_kind kind, u32 threads, struct samples *s,
                u64 turns, struct bench_signals before);

/* Busy threads of the kernel, one on each CPU but the first, for seed_measure_kernel. False: refused. */
bool seed_kernel_begin(struct bench_run *b, u32 threads);
void seed_kernel_end(void);
