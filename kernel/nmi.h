/* Non-maskable interrupts. Hooks: kernel/trap.h. */
#pragma once

#include "kernel/trap.h"

/* Logs what NMI handlers have left to be logged, if anything. Cheap when there is nothing. IPI context. */
void nmi_report_deferred(void);
