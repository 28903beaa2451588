#include "tests/sim/scenario.h"

static struct space *s, *other;

static void setup(void)
{
    s = sim_space();
    other = sim_space();
    sim_map(s, SIM_VA, 1, PT_USER | PT_WRITE);
    sim_map(s, SIM_VA + 4 * MIB, 1, PT_USER | PT_WRITE);
    sim_map(other, SIM_VA + 4 * MIB, 1, PT_USER | PT_WRITE);
    sim_run_in(0, s);
    sim_run_in(1, s);
}

/* The freed table comes back as another one at once. */
static void initiator(void)
{
    sim_unmap(s, SIM_VA, 1);
    sim_map(s, SIM_VA + 8 * MIB, 1, PT_USER | PT_WRITE);
}

static void wanderer(void)
{
    sim_load_space(other);
    sim_use(SIM_VA + 4 * MIB, SIM_WRITE);
    sim_load_space(s);
    sim_use(SIM_VA + 4 * MIB, SIM_WRITE);
    sim_use(SIM_VA, SIM_READ);
}

SCENARIO(tables_and_switch, "a page table is freed while a CPU is in another space, and comes back",
         .cpus = 2, .setup = setup, .body = {initiator, wanderer});
