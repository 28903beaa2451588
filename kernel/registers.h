/* Registers in a report. */
#pragma once

#include "kernel/trap.h"

/* All of f, and the control registers as they are now. Any context. */
void registers_print(const struct trap_frame *f);
