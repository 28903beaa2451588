/* Where the TSC's frequency can be learnt. Each returns Hz, or 0 if this machine does not have it. */
#pragma once
#include "kernel/acpi.h"
#include "lib/types.h"

u64 clock_cpuid_15h(void);
u64 clock_hypervisor_leaf(void);
u64 clock_cpuid_16h(void);

/* Measured; interrupts off; 25 ms each, or about 10 ms if the timer stands still. The PIT's channel 2 is
 * reprogrammed. */
u64 clock_measure_pm_timer(const struct acpi_info *acpi);
u64 clock_measure_pit(void);
