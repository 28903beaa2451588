/* Counters on hot paths: one per CPU, one instruction each, summed when read.
 *
 *   COUNTER(tlb_flush_full, "full local flushes");    at the top of the .c file that counts
 *   counter_inc(tlb_flush_full);                      any context, NMI included
 *
 * `stat` at the prompt and the `stat` record list them all. */
#pragma once

#include "lib/percpu.h"
#include "lib/table.h"

struct counter {
    const char *name, *meaning;
    u64 *percpu; /* the variable in .percpu */
};
TABLE_DECLARE(counter, struct counter);

#define COUNTER(ident, meaning_)                                                                             \
    PERCPU(u64, counter_##ident);                                                                            \
    TABLE_ENTRY(counter, struct counter, counter_entry_##ident) = {                                          \
        .name = #ident, .meaning = meaning_, .percpu = (u64 *)&counter_##ident}

#define counter_inc(ident)    (this_cpu(counter_##ident)++)
#define counter_add(ident, n) (this_cpu(counter_##ident) += (n))

u64 counter_value(const struct counter *c, cpu_t cpu); /* cpu < MAX_CPUS; 0 where there is no such CPU */
u64 counter_sum(const struct counter *c); /* over all CPUs; each is read once, not all at one instant */
const struct counter *counter_find(const char *name); /* NULL if there is none */
