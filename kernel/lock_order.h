/* The order of locks: what lib/spinlock.h calls in the debug build. */
#pragma once

#include "lib/types.h"

/* No more checks: the machine is about to panic, and takes what locks it needs. Any context. */
void lock_order_stop(void);
