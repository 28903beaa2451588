/* Exceptions: what can be explained goes on, the rest is a panic with its cause decoded. */
#pragma once

#include "kernel/trap.h"

/* Any exception but NMI, double fault and machine check, which have handlers of their own. */
void exception_handle(struct trap_frame *f);
