/* Between kernel/idle.c and kernel/idle_choose.c. */
#pragma once

#include "kernel/idle.h"

extern enum idle_how idle_in_force; /* never IDLE_AUTO */
extern bool idle_breaks_on_masked;
/* Tries it: MWAIT on CPU 1, a store by this one. THREAD on CPU 0, when there are workers. */
bool idle_try_stores(void);
