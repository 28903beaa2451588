#include "tests/sim/scenario.h"

static struct space *s, *other;

static void setup(void)
{
    s = sim_space();
    other = sim_space();
    sim_map(s, SIM_VA, 1, PT_USER | PT_WRITE);
    sim_map(other, SIM_VA, 1, PT_USER | PT_WRITE);
    sim_run_in(1, s);
}

static void initiator(void)
{
    sim_unmap(s, SIM_VA, 1);
}

static void wanderer(void)
{
    sim_load_space(other);
    sim_borrow();
    sim_load_space(s);
}

static void sampler(void)
{
    sim_use_in_nmi(SIM_VA);
}

SCENARIO(nmi_switch, "an NMI at any step of a change of spaces, whose handler touches user memory if it may",
         .cpus = 2, .setup = setup, .body = {initiator, wanderer}, .nmi = sampler, .nmi_budget = 1,
         .nmi_target = 1);
