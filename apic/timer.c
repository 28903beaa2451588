/* The local APIC timer, one-shot: the only mode that every emulator gets right (TSC-deadline idles for ever on Bochs).
 * apic_init_cpu has set divisor and vector, with the timer stopped. SDM volume 3A, section 11.5.4. */
#include "apic/apic.h"
#include "lib/assert.h"

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
