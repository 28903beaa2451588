/* Doorbells that are lost, doubled or late: for kernel/fault_inject.c. As those of kernel/fault_cpus.h. */
#pragma once

#include "lib/types.h"

void fault_drop_ipi(u64 n);   /* the Nth is lost */
void fault_double_ipi(u64 n); /* the Nth comes twice */
void fault_delay_ipi(u64 n);  /* the Nth comes some milliseconds late */
void fault_drop_word(u64 n);  /* one that rings for the flush-everything word is lost */
