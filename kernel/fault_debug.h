/* What the checks of the debug build are to find: for kernel/fault_inject.c. Each ends in a panic. THREAD. */
#pragma once

#include "lib/types.h"

void fault_ubsan(u64 n);
void fault_canary(u64 n);
void fault_lock_order(u64 n);
void fault_poison(u64 n);
