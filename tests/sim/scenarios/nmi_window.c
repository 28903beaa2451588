#include "tests/sim/scenario.h"

static struct space *s;

static void setup(void)
{
    s = sim_space();
    sim_map(s, SIM_VA, 2, PT_USER | PT_WRITE);
    sim_run_in(0, s);
    sim_run_in(1, s);
}

static void initiator(void)
{
    sim_unmap(s, SIM_VA, 1);
}

static void user(void)
{
    sim_use(SIM_VA, SIM_WRITE);
}

static void sampler(void)
{
    sim_use_in_nmi(SIM_VA);
}

SCENARIO(nmi_window, "an NMI at any step of the target, whose handler touches user memory if it may",
         .cpus = 2, .setup = setup, .body = {initiator, user}, .nmi = sampler, .nmi_budget = 1,
         .nmi_target = 1, .control = true);
