#include "tests/sim/scenario.h"

static struct space *s;

static void setup(void)
{
    s = sim_space();
    sim_map(s, SIM_VA, 2, PT_USER | PT_WRITE);
    sim_map(s, SIM_VA + 4 * MIB, 1, PT_USER | PT_WRITE);
    sim_run_in(0, s);
    sim_run_in(1, s);
}

static void initiator(void)
{
    sim_unmap(s, SIM_VA, 1);
    sim_unmap(s, SIM_VA + 4 * MIB, 1); /* its table goes, too: who only borrows the root has to know */
}

static void borrower(void)
{
    sim_use(SIM_VA, SIM_WRITE);
    sim_borrow();
    sim_load_space(s);
    sim_use(SIM_VA, SIM_WRITE);
    sim_use(SIM_VA + PAGE_SIZE, SIM_WRITE);
    sim_use(SIM_VA + 4 * MIB, SIM_READ);
    sim_borrow();
}

SCENARIO(lazy, "a CPU borrows the root, and comes back, while pages and a table go", .cpus = 2,
         .setup = setup, .body = {initiator, borrower}, .control = true);
