#include "tests/sim/scenario.h"

static struct space *s;

static void setup(void)
{
    s = sim_space();
    sim_map(s, SIM_VA, 2, PT_USER | PT_WRITE);
    sim_run_in(0, s);
    /* CPU 1 was in it before, so that its PCID, if there are any, has entries. */
    sim_run_in(1, s);
    sim_run_in(1, NULL);
}

static void initiator(void)
{
    sim_unmap(s, SIM_VA, 1);
    sim_protect(s, SIM_VA + PAGE_SIZE, 1, PT_USER);
}

static void loader(void)
{
    for (u32 i = 0; i < 2; i++) {
        sim_load_space(s);
        sim_use(SIM_VA, SIM_WRITE);
        sim_use(SIM_VA + PAGE_SIZE, SIM_WRITE);
        sim_load_space(NULL);
    }
}

SCENARIO(load_race,
         "a CPU loads and leaves the space while another changes it: each must see the other, or be seen",
         .cpus = 2, .setup = setup, .body = {initiator, loader});
