/* A page is shared by two spaces; one of two threads of the one space writes to it, and both go on using it. */
#include "tests/sim/scenario.h"

static struct space *s;

static void setup(void)
{
    s = sim_space();
    sim_region(s, SIM_VA);
    sim_clone(s, SIM_VA);
    sim_run_in(0, s);
    sim_run_in(1, s);
}

static void writer(void)
{
    sim_use(SIM_VA, SIM_READ);
    sim_write_fault(s, SIM_VA);
    sim_use(SIM_VA, SIM_READ);
    sim_use(SIM_VA, SIM_WRITE);
}

static void reader(void)
{
    for (u32 i = 0; i < 3; i++)
        sim_use(SIM_VA, SIM_READ);
}

SCENARIO(copy_on_write, "a shared page is copied for a thread that writes to it, while another reads it",
         .cpus = 2, .setup = setup, .body = {writer, reader}, .copies = true);
