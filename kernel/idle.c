#include "kernel/idle_internal.h"
#include "kernel/idle_mwait.h"

#include "kernel/park.h"
#include "kernel/thread_internal.h"
#include "kernel/timer.h"
#include "kernel/trap.h"
#include "lib/atomic.h"
#include "lib/context.h"
#include "mm/space.h"
#include "smp/message.h"

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

/* ---- the ways to wait ---- */

/* Lets interrupts in. STI holds them back for one instruction, so CLI must not be the next. */
static void let_interrupts_in(void)
{
    irq_enable();
    cpu_pause();
    irq_disable();
}

/* Under delivery=mwait the pending word is marked meanwhile, so that who posts does not ring (smp/inbox_watch.c). */
static bool watch(enum idle_how how)
{
    return msg_delivery_get() == MSG_DELIVERY_MWAIT && idle_how_is_told_by_store(how) && inbox_watch_begin();
}

static void end_watch(void)
{
    if (inbox_watch_end())
        trap_message_by_store();
}

static void wait_by_mwait(void)
{
    bool watched = watch(IDLE_MWAIT);
    idle_mwait(watched, idle_breaks_on_masked);
    if (watched)
        end_watch();
    let_interrupts_in();
}

/* Between two times that interrupts are let in; some microseconds on hardware. */
#define POLL_TURNS 64u

static void wait_by_poll(void)
{
    if (watch(IDLE_POLL)) {
        for (u32 turns = POLL_TURNS; turns && !inbox_watch_has_come(); turns--)
            cpu_pause();
        end_watch();
    }
    let_interrupts_in();
}

void idle_wait(void)
{
    park_idle();
    /* Once: who marks its word must also be one whom a store wakes. */
    enum idle_how how = atomic_load_relaxed(&idle_in_force);
    if (unlikely(!timer_is_usable()) && thread_poll_sleepers()) {
        irq_enable();
        cpu_pause();
    } else if (unlikely(how != IDLE_HALT)) {
        how == IDLE_MWAIT ? wait_by_mwait() : wait_by_poll();
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
