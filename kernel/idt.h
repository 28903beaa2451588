/* The interrupt descriptor table: one for all CPUs. */
#pragma once

#include "lib/types.h"

/* Boot CPU, once: fills all 256 gates from the stubs of kernel/trap_entry.asm. */
void idt_build(void);
/* Each CPU: loads it. */
void idt_load(void);
/* Turns the placeholders of entry.inc into STAC and CLAC. Boot CPU, once, before other CPUs run, where SMAP will be on. */
void idt_use_smap(void);
