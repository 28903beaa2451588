/* Parts of the ipi benchmark that bench/ipi_more.c measures; each prints its row and record. */
#pragma once

#include "bench/bench.h"

void ipi_self(struct bench_run *b);
/* The other CPUs spin (bench_spin) before and after. */
void ipi_one_way(struct bench_run *b, cpu_t to);
/* No CPU is busy before and after. */
void ipi_mesh(struct bench_run *b);
