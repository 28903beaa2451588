/* Time: the TSC's frequency, from the best source there is. Sets lib/wait.h's tsc_hz. */
#pragma once
#include "kernel/acpi.h"
#include "lib/types.h"

/* "CPUID 15h", "hypervisor leaf", "ACPI PM timer", "PIT", "CPUID 16h", "command line"; "none": waits assume 4 GHz. */
extern const char *clock_source;
/* A second source, read independently, says the same within CLOCK_AGREE_PERCENT: ticks may be printed as ns. */
extern bool clock_confirmed;
/* The TSC's step, found by trying: the greatest common divisor of differences between readings. 1 on most
 * hardware, 5 in Bochs 2.7, where it moves once for every turn of 5 instructions. No difference below it means
 * anything. */
extern u64 clock_step;

/* Boot CPU, once, interrupts off, after acpi_parse and the command line. Takes at most 50 ms where timers work. */
void clock_init(const struct acpi_info *acpi);

/* Ticks per second of the LAPIC timer after division by 16; 0: not calibrated. What uses it: kernel/timer.h. */
extern u64 apic_timer_hz;
/* Calibrates it against the TSC: boot CPU, once, after clock_init and apic_init_cpu. May take interrupts in
 * between, whatever the interrupt flag was, which it leaves as it was; at most 50 ms. */
void clock_init_apic_timer(void);

/* ns since clock_init. Any context. */
u64 clock_ns(void);
