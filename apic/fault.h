/* Interrupt commands that go wrong on purpose: lost, doubled, late. For tests of those that have to notice.
 *
 * In x2APIC mode PATCH_ICR (lib/patch.h) leads every write of the ICR here, in xAPIC mode another driver does; off, neither costs
 * anything. */
#pragma once

#include "lib/types.h"

/* How often this command is to be written: 0 loses it. Any context, NMI included. */
typedef u32 (*apic_fault_fn)(apic_id_t dest, u32 command);

/* NULL: no more. In x2APIC mode the caller switches PATCH_ICR on after this, and off before it. THREAD. */
void apic_fault_use(apic_fault_fn fn);
/* Writes a command past the above: one that comes late. Any context. */
void apic_icr_write_now(apic_id_t dest, u32 command);

/* Called by apic/icr_fault.asm in place of an ICR write. */
void apic_fault_icr(apic_id_t dest, u32 command);
