#include "tests/sim/scenario.h"

static struct space *s;

static void setup(void)
{
    s = sim_space();
    sim_map(s, SIM_VA, 2, PT_USER | PT_WRITE);
    sim_run_in(0, s);
    sim_run_in(1, s);
}

static void take_away(void)
{
    sim_unmap(s, SIM_VA, 1);
    sim_use(SIM_VA, SIM_WRITE);
}

/* May find the page gone already: then it relies on the other's change, and must not believe it too early. */
static void make_read_only(void)
{
    sim_use(SIM_VA, SIM_WRITE);
    sim_protect(s, SIM_VA, 2, PT_USER);
    sim_use(SIM_VA + PAGE_SIZE, SIM_WRITE);
    sim_unmap(s, SIM_VA, 1);
    sim_use(SIM_VA, SIM_READ);
}

SCENARIO(same_page, "one CPU unmaps the page that another makes read-only and unmaps too", .cpus = 2,
         .setup = setup, .body = {take_away, make_read_only});
