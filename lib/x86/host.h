/* What stands in for privileged instructions when rooms are compiled on the host. Whoever links such a test defines
 * these (tests/host/): a unit test with the little it needs, the simulated machine with a whole MMU. */
#pragma once

#include "lib/types.h"

bool irq_enabled(void);
void irq_disable(void);
void irq_enable(void);
bool irq_save(void);
void irq_restore(bool was_on);
u64 rdmsr(u32 msr);
void wrmsr(u32 msr, u64 v);
u64 cr0_read(void);
void cr0_write(u64 v);
u64 cr3_read(void);
u64 cr4_read(void);
void cr3_write(u64 v);
void cr4_write(u64 v);
void wbinvd(void);
void host_invlpg(vaddr_t va);
void host_invpcid(u64 type, pcid_t pcid, vaddr_t va);
