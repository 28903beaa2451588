#include "kernel/idle.h"

#include "kernel/park.h"
#include "kernel/thread_internal.h"
#include "kernel/timer.h"
#include "lib/context.h"
#include "mm/space.h"

/* Short enough that the 16-byte FIFO of a serial port, filled at 115200 baud in 1.4 ms, never overflows. */
#define TICK_US 1000u

static void tick(void) {} /* that its interrupt ends the halt is all it is for */

void idle_for_a_tick(void)
{
    ASSERT_MAY_WAIT();
    if (thread_self()) {
        thread_sleep_us(TICK_US);
        return;
    }
    /* Set with interrupts off: if it fires before the halt, it is pending then and ends it at once. */
    irq_disable();
    if (timer_oneshot_us(TICK_US, tick) != ERR_OK) {
        irq_enable();
        cpu_pause();
        return;
    }
    irq_enable_and_halt();
    timer_cancel();
}

void idle_wait(void)
{
    park_idle();
    if (unlikely(!timer_is_usable()) && thread_poll_sleepers()) {
        irq_enable();
        cpu_pause();
    } else {
        /* Interrupts have been off since the caller looked for work: what rings now is pending, and ends the halt at once. */
        irq_enable_and_halt();
    }
    irq_disable();
}

NORETURN void idle_loop(void)
{
    for (;;)
        if (!thread_run_ready())
            idle_wait();
}
