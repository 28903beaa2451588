/* What policies put off until a CPU returns to ring 3, or touches user memory, or leaves its space; and the tick. */
#include "lib/assert.h"
#include "lib/wait.h"
#include "mm/deferred.h"
#include "mm/respond.h"
#include "mm/shootdown.h"

PERCPU(bool, shootdown_user_closed);

static void leave_all(void)
{
    TABLE_FOREACH (policy, struct shootdown_policy, p)
        if (p->leave)
            p->leave();
}

bool shootdown_user_open(void)
{
    if (likely(!this_cpu(shootdown_user_closed)))
        return false;
    bool was_on = irq_save();
    this_cpu(shootdown_user_closed) = false;
    if (unlikely(this_cpu(tlb_pending)))
        leave_all();
    irq_restore(was_on);
    return true;
}

void shootdown_user_return(void)
{
    leave_all();
    TABLE_FOREACH (policy, struct shootdown_policy, p)
        if (p->user_return)
            p->user_return();
    leave_all(); /* interrupts may have been on */
    ASSERT(this_cpu(tlb_pending) == 0, "nothing that was put off is left before ring 3 runs");
}

/* ---- the tick ---- */

#define TICK_US 1000u

/* A doorbell may have been lost. Who waits for the CPU has a watchdog, which would have given up by then: so nobody does. */
static u32 late_after(void)
{
    return (u32)MAX(msg_watchdog.give_up_ms * wait_scale * 1000 / TICK_US, 1);
}

/* Ticks in a row that have found deferred tickets of this CPU: the first lets CPUs come by themselves, the second tells them. */
static PERCPU(u32, ticks_with_work);
static PERCPU(bool, tick_is_set);

static void tick(void);
static void set_tick(void)
{
    this_cpu(tick_is_set) = true;
    TABLE_FOREACH (shootdown_clock, struct shootdown_clock, c)
        c->set(TICK_US, tick);
}

static void tick(void)
{
    this_cpu(tick_is_set) = false;
    TABLE_FOREACH (policy, struct shootdown_policy, p)
        if (p->tick)
            p->tick();
    deferred_sweep_irqoff();
    if (!deferred_here()) {
        this_cpu(ticks_with_work) = 0;
        return;
    }
    if (++this_cpu(ticks_with_work) >= 2)
        deferred_pull_here(late_after());
    set_tick();
}

void shootdown_want_tick(void)
{
    if (!this_cpu(tick_is_set)) {
        bool was_on = irq_save();
        this_cpu(ticks_with_work) = 0;
        set_tick();
        irq_restore(was_on);
    }
}
