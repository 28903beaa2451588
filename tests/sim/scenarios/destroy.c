#include "tests/sim/scenario.h"

static struct space *s;

static void setup(void)
{
    s = sim_space();
    sim_map(s, SIM_VA, 1, PT_USER | PT_WRITE);
    sim_run_in(1, s);
}

/* The frames of the dead space become the next one's. */
static void destroyer(void)
{
    sim_destroy(s);
    struct space *next = sim_space();
    sim_map(next, SIM_VA, 1, PT_USER | PT_WRITE);
    sim_load_space(next);
    sim_use(SIM_VA, SIM_WRITE);
}

static void last_thread(void)
{
    sim_use(SIM_VA, SIM_WRITE);
    sim_borrow();
}

SCENARIO(destroy, "a space dies under the CPU whose last thread has just left it and still borrows the root",
         .cpus = 2, .setup = setup, .body = {destroyer, last_thread});
