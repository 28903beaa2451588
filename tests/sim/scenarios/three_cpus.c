#include "tests/sim/scenario.h"

static struct space *s;

static void setup(void)
{
    s = sim_space();
    sim_map(s, SIM_VA, 2, PT_USER | PT_WRITE);
    for (cpu_t c = 0; c < 3; c++)
        sim_run_in(c, s);
}

static void initiator(void)
{
    sim_unmap(s, SIM_VA, 1);
    sim_remap(s, SIM_VA + PAGE_SIZE, PT_USER | PT_WRITE);
}

static void user(void)
{
    sim_use(SIM_VA, SIM_WRITE);
    sim_use(SIM_VA + PAGE_SIZE, SIM_WRITE);
    sim_use(SIM_VA, SIM_READ);
}

static void wanderer(void)
{
    sim_use(SIM_VA, SIM_WRITE);
    sim_load_space(NULL);
    sim_load_space(s);
    sim_use(SIM_VA + PAGE_SIZE, SIM_WRITE);
}

SCENARIO(three_cpus, "one initiator, a user and a CPU that comes and goes", .cpus = 3, .setup = setup,
         .body = {initiator, user, wanderer}, .control = true);
