/* A copy on write by a CPU that is not up to date: what it has not yet forgotten is another change's. */
#include "tests/sim/scenario.h"

static struct space *s;

static void setup(void)
{
    s = sim_space();
    sim_region(s, SIM_VA);
    sim_map(s, SIM_VA + PAGE_SIZE, 2, PT_USER | PT_WRITE);
    sim_clone(s, SIM_VA);
    sim_run_in(0, s);
    sim_run_in(1, s);
}

static void writer(void)
{
    sim_write_fault(s, SIM_VA);
    sim_use(SIM_VA, SIM_WRITE);
    sim_use(SIM_VA + PAGE_SIZE, SIM_READ);
}

static void other(void)
{
    sim_unmap(s, SIM_VA + PAGE_SIZE, 1);
    sim_use(SIM_VA, SIM_READ);
}

SCENARIO(copy_behind, "a page is copied on write while another is being taken away", .cpus = 2,
         .setup = setup, .body = {writer, other}, .copies = true, .slow = true);
