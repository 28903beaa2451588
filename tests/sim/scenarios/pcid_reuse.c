#include "mm/pcid.h"
#include "tests/sim/scenario.h"

static struct space *s, *second, *third;

/* One slot only: each space takes it from the one before. */
static void setup(void)
{
    pcid_slots_in_use = 1;
    s = sim_space();
    second = sim_space();
    third = sim_space();
    sim_map(s, SIM_VA, 1, PT_USER | PT_WRITE);
    sim_map(second, SIM_VA, 1, PT_USER | PT_WRITE);
    sim_map(third, SIM_VA + 4 * MIB, 1, PT_USER | PT_WRITE);
    sim_run_in(0, s);
    sim_run_in(1, s);
}

static void initiator(void)
{
    sim_unmap(s, SIM_VA, 1);
    sim_unmap(third, SIM_VA + 4 * MIB, 1);
    sim_unmap(second, SIM_VA, 1);
}

static void wanderer(void)
{
    sim_use(SIM_VA, SIM_WRITE);
    sim_load_space(second);
    sim_use(SIM_VA, SIM_WRITE);
    sim_load_space(third);
    sim_use(SIM_VA + 4 * MIB, SIM_WRITE);
    sim_load_space(s);
    sim_use(SIM_VA, SIM_WRITE);
    sim_load_space(second);
    sim_use(SIM_VA, SIM_READ);
}

SCENARIO(pcid_reuse, "more spaces than PCIDs: a PCID goes from one to the next, with nothing in it",
         .cpus = 2, .setup = setup, .body = {initiator, wanderer}, .needs_pcid = true);
