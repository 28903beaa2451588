/* Stack canaries (make DEBUG=1): functions with arrays on their stack keep a random word above them, and look whether it is still there
 * when they return. */
#pragma once

#include "lib/types.h"

/* Boot CPU, once, first of all, in a function that does not return: those that are running have the old word in their frames. */
void canary_init(void);
