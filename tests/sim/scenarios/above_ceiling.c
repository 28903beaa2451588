#include "tests/sim/scenario.h"

static struct space *s;

static void setup(void)
{
    s = sim_space();
    shootdown_ceiling = 2;
    sim_map(s, SIM_VA, 4, PT_USER | PT_WRITE);
    sim_run_in(0, s);
    sim_run_in(1, s);
}

static void initiator(void)
{
    sim_unmap(s, SIM_VA, 3);
    sim_use(SIM_VA + 2 * PAGE_SIZE, SIM_READ);
}

static void user(void)
{
    for (u32 i = 0; i < 4; i++)
        sim_use(SIM_VA + i * PAGE_SIZE, SIM_WRITE);
    sim_use(SIM_VA + 2 * PAGE_SIZE, SIM_READ);
}

SCENARIO(above_ceiling, "a range above the ceiling is flushed whole", .cpus = 2, .setup = setup,
         .body = {initiator, user});
