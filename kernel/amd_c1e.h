/* AMD's C1E (erratum 400): once all cores of a package have halted, the package sleeps deeper than a halt, and the local APIC's timer
 * stands still. On processors whose firmware has chosen that, nobody who sleeps is ever woken. */
#pragma once

#include "lib/features.h"

/* Is that CPU one that can be made to do so? Families 0Fh to 11h; later ones keep the timer running. Any context. */
bool amd_c1e_stops_timer(const struct cpu_features *cpu);

/* Each CPU, once it has its IDT, before it idles, interrupts off: switches it off. Firmware has no say again before ACPI is turned
 * on, which is when the machine is switched off (kernel/power.c). */
void amd_c1e_init_cpu(void);
