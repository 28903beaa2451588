/* x2APIC: the ICR. In a header, because a message's whole sending side has a budget of a few dozen instructions and
 * this is nine of them. */
#pragma once

#include "apic/registers.h"
#include "lib/cost.h"
#include "lib/counter.h"
#include "lib/x86/cpu.h"
#include "lib/x86/fence.h"

DECLARE_PERCPU(u64, counter_icr_writes);

/* The only writer of the x2APIC ICR: one MSR for destination and command, so no lock, no interrupts off, no delivery
 * status to wait for (SDM 11.12.9). Any context, NMI included. */
static ALWAYS_INLINE void x2apic_icr_write(apic_id_t dest, u32 command)
{
    counter_inc(icr_writes);
    /* orders: all that this CPU has stored (a message line, a pending word, an AP's parameters) before the interrupt;
     * pairs with: the first reads of whoever the interrupt starts (smp/drain.c:msg_drain, boot/trampoline.asm);
     * else: WRMSR here does not wait for the store buffer (SDM 11.12.3), and the target could look before there is
     * anything to see, with no second interrupt to make it look again. */
    fence_and_write_x2apic_icr(MSR_X2APIC(APIC_REG_ICR), (u64)dest << 32 | command);
    cost_icr();
}
