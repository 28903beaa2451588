/* The local APIC timer: one-shot, which every emulator gets right, or TSC-deadline, which not all that announce it do (kernel/timer.c
 * finds out). apic_init_cpu has set divisor and vector, with the timer stopped. SDM volume 3A, section 11.5.4. */
#include "apic/apic.h"
#include "lib/assert.h"
#include "lib/x86/fence.h"

#define MSR_TSC_DEADLINE 0x6e0u

void apic_timer_oneshot(u32 ticks)
{
    ASSERT(ticks, "an initial count of 0 stops the timer");
    apic_driver->write(APIC_REG_TIMER_INITIAL, ticks);
}

void apic_timer_stop(void)
{
    apic_driver->write(APIC_REG_TIMER_INITIAL, 0);
}

u32 apic_timer_left(void)
{
    return apic_driver->read(APIC_REG_TIMER_CURRENT);
}

void apic_timer_mode(bool deadline)
{
    apic_driver->write(APIC_REG_LVT_TIMER,
                       (deadline ? LVT_TIMER_DEADLINE : LVT_TIMER_ONESHOT) | VECTOR_TIMER);
    /* orders: the new mode, a store to memory in xAPIC mode, before the first write of the deadline, which is lost if the mode is
     * not there yet (SDM volume 3A, section 11.5.4.1); pairs with: the local APIC itself. */
    fence_before_x2apic_icr();
}

void apic_timer_deadline(u64 tsc)
{
    wrmsr(MSR_TSC_DEADLINE, tsc);
}
