/* fault_apic_ids=on: plays firmware that has written other ids into the local APICs than the CPUs were born with, as that of AMD's
 * processors before Zen does, where I/O APICs are to have the low ones. CPUID goes on to say the old id. */
#pragma once

#include "lib/types.h"

/* Boot CPU, after apic_init_cpu, before the CPU of that id, as firmware's tables have it, is registered. Returns the id that it has now:
 * another one, if asked for, in xAPIC mode, where the register takes it; else the same. */
apic_id_t fault_apic_id(apic_id_t named);
