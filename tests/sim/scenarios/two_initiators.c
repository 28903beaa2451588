#include "tests/sim/scenario.h"

static struct space *s;

static void setup(void)
{
    s = sim_space();
    sim_map(s, SIM_VA, 3, PT_USER | PT_WRITE);
    sim_run_in(0, s);
    sim_run_in(1, s);
}

static void first(void)
{
    sim_use(SIM_VA + PAGE_SIZE, SIM_WRITE);
    sim_unmap(s, SIM_VA, 1);
    sim_use(SIM_VA + PAGE_SIZE, SIM_WRITE);
}

static void second(void)
{
    sim_use(SIM_VA, SIM_WRITE);
    sim_unmap(s, SIM_VA + PAGE_SIZE, 1);
    sim_use(SIM_VA, SIM_WRITE);
}

SCENARIO(two_initiators, "two CPUs take pages away from each other at once", .cpus = 2, .setup = setup,
         .body = {first, second}, .control = true);
