/* Parked CPUs: kernel/thread.h has the two calls. */
#pragma once

#include "lib/cpumask.h"
#include "lib/types.h"

/* Called by an idle CPU, interrupts off: if it is parked, it leaves the space that it has only borrowed. */
void park_idle(void);
