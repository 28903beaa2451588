/* How the machine ends. */
#pragma once

#include "kernel/acpi.h"
#include "lib/types.h"

/* Boot CPU, once, after kmap_init: *acpi, which stays, says how to switch off and reset. Before it, and without ACPI, the
 * emulators' ports and the chipset's customary ways still work. */
void power_init(const struct acpi_info *acpi);

/* Ends QEMU (isa-debug-exit, port 0xf4: status ok ? 0x10 : 0x11, so that the process exits 33 or 35), Bochs (port 0x8900),
 * or a real machine (ACPI S5 when ok, else reset after the text has been seen). Any context; interrupts off from here on.
 * A machine that none of this ends is halted, and told so. */
NORETURN void power_off(bool ok);
NORETURN void power_reset(void);
