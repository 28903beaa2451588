/* Switching call sites (lib/patch.h) and other changes of kernel code. */
#pragma once

#include "lib/patch.h"

/* Switches all sites of a key. Stops the other CPUs for it: they wait inside a message function, with interrupts off,
 * until all sites are written. ERR_TIMEOUT: a CPU did not stop; nothing was changed. THREAD, or boot CPU before the
 * others run. */
err_t patch_set(enum patch_key key, bool on);
