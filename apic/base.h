/* IA32_APIC_BASE: the way from the mode that firmware left to the one wanted. Pure, so that the host tests every
 * state. */
#pragma once

#include "apic/registers.h"

/* The values to write, in order, to get from `now` to the APIC on at `page` in xAPIC or x2APIC mode; never more
 * than two, none if nothing needs to change. Every step is a legal one, and none switches the APIC off (some
 * machines, and Bochs, cannot switch it on again). Reserved bits and the BSP flag stay as they are. The way from
 * x2APIC back to xAPIC leads through off: asking for it returns APIC_BASE_NO_WAY. */
#define APIC_BASE_STEPS  2u
#define APIC_BASE_NO_WAY (~0u)
u32 apic_base_steps(u64 now, u64 page, bool x2apic, u64 step[APIC_BASE_STEPS]);

/* Whether the CPU refuses to leave x2APIC mode: IA32_XAPIC_DISABLE_STATUS, which exists only if IA32_ARCH_CAPABILITIES says so, and that
 * only if CPUID does (`capabilities`): to read an MSR that is not there is #GP. */
bool apic_base_locked(bool capabilities, u64 (*read_msr)(u32 msr));
