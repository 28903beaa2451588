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

static void borrower(void)
{
    sim_use(SIM_VA, SIM_WRITE);
    sim_borrow();
    sim_load_space(s);
    sim_use(SIM_VA + PAGE_SIZE, SIM_WRITE);
}

static void sampler(void)
{
    sim_use_in_nmi(SIM_VA);
}

/* The borrower goes first, so that a change in the middle of its steps takes one deviation, and the NMI the second. */
SCENARIO(nmi_borrow, "an NMI at any step of a CPU that begins to borrow its root, or takes it back",
         .cpus = 2, .setup = setup, .body = {borrower, initiator}, .nmi = sampler, .nmi_budget = 1,
         .nmi_target = 0);
