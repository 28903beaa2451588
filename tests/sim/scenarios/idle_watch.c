/* An idle CPU that watches its inbox, as under delivery=mwait (kernel/idle.c). */
#include "kernel/idle_mwait.h"
#include "tests/sim/scenario.h"

#define CHANGES 2u

static struct space *s;
static tlb_gen_t last;

static void setup(void)
{
    s = sim_space();
    sim_map(s, SIM_VA, CHANGES + 1, PT_USER | PT_WRITE);
    sim_run_in(0, s);
    sim_run_in(1, s);
    last = s->gen + CHANGES;
}

static void initiator(void)
{
    for (u32 i = 0; i < CHANGES; i++)
        sim_protect(s, SIM_VA + i * PAGE_SIZE, 1, PT_USER);
}

/* kernel/idle.c:wait_by_mwait and trap_message_by_store. False: nothing more is to come. Interrupts come only after it. */
static bool idle_once(void)
{
    irq_disable();
    bool more = s->cpu[1].flushed < last;
    if (more && inbox_watch_begin()) {
        idle_mwait(true, true);
        if (inbox_watch_end()) {
            sim_cpus[sim.now].irq_depth++;
            msg_drain();
            sim_cpus[sim.now].irq_depth--;
        }
    }
    irq_enable();
    return more;
}

static void idle(void)
{
    for (u32 i = 0; i < CHANGES; i++)
        sim_use(SIM_VA + i * PAGE_SIZE, SIM_READ);
    while (idle_once())
        cpu_pause();
}

SCENARIO(idle_watch, "an idle CPU is told by the store alone, and no wake-up is lost", .cpus = 2,
         .setup = setup, .body = {initiator, idle}, .one_policy = true);
