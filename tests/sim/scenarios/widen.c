#include "tests/sim/scenario.h"

static struct space *s;

static void setup(void)
{
    s = sim_space();
    sim_map(s, SIM_VA, 2, PT_USER);
    sim_run_in(0, s);
    sim_run_in(1, s);
}

static void initiator(void)
{
    sim_protect(s, SIM_VA, 1, PT_USER | PT_WRITE);
    sim_use(SIM_VA, SIM_WRITE);
    sim_protect(s, SIM_VA, 1, PT_USER);
}

static void user(void)
{
    sim_use(SIM_VA, SIM_READ);
    for (u32 i = 0; i < 3; i++)
        sim_use(SIM_VA, SIM_WRITE);
}

SCENARIO(widen, "rights are widened without a flush: the stale entry is explained at the fault, once",
         .cpus = 2, .setup = setup, .body = {initiator, user}, .control = true);
