#include "tests/sim/scenario.h"

static struct space *s;

static void setup(void)
{
    s = sim_space();
    sim_run_in(1, s);
}

/* Nothing is mapped: no table goes that a borrower would be told of, but its root does. */
static void destroyer(void)
{
    sim_destroy(s);
}

static void leaver(void)
{
    sim_borrow();
    irq_disable();
    irq_enable();
    sim_load_space(NULL);
}

SCENARIO(destroy_empty, "a space dies in which nothing is mapped, and whose root a CPU still borrows",
         .cpus = 2, .setup = setup, .body = {destroyer, leaver});
