#include "tests/sim/scenario.h"

static struct space *s, *other;

static void setup(void)
{
    s = sim_space();
    other = sim_space();
    sim_map(s, SIM_VA, 2, PT_USER | PT_WRITE);
    sim_map(other, SIM_VA, 1, PT_USER | PT_WRITE);
    sim_run_in(0, s);
    sim_run_in(1, s);
}

static void initiator(void)
{
    sim_remap(s, SIM_VA, PT_USER | PT_WRITE);
    sim_unmap(s, SIM_VA + PAGE_SIZE, 1);
}

static void wanderer(void)
{
    sim_use(SIM_VA, SIM_WRITE);
    sim_load_space(other);
    sim_use(SIM_VA, SIM_WRITE);
    sim_load_space(s);
    sim_use(SIM_VA, SIM_WRITE);
    sim_use(SIM_VA + PAGE_SIZE, SIM_READ);
}

SCENARIO(switch_away_and_back, "a CPU goes to another space and comes back, while its pages change",
         .cpus = 2, .setup = setup, .body = {initiator, wanderer}, .control = true);
