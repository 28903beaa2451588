#include "tests/sim/scenario.h"

static struct space *s;

/* Three targets for two children: the first child of each tree tells another CPU. One page stays, or the tables would go too. */
static void setup(void)
{
    shootdown_fanout = 2;
    s = sim_space();
    sim_map(s, SIM_VA, 3, PT_USER | PT_WRITE);
    for (cpu_t c = 0; c < 4; c++)
        sim_run_in(c, s);
}

static void first(void)
{
    sim_unmap(s, SIM_VA, 1);
    sim_use(SIM_VA, SIM_READ);
}

static void user(void)
{
    sim_use(SIM_VA, SIM_WRITE);
    sim_use(SIM_VA + PAGE_SIZE, SIM_WRITE);
}

/* Its tree leads through the first one's CPU, whose line may still be full. */
static void last(void)
{
    sim_unmap(s, SIM_VA + PAGE_SIZE, 1);
    sim_use(SIM_VA + PAGE_SIZE, SIM_READ);
}

SCENARIO(tree_forwards, "a target tells the next one, while another CPU's tree goes the other way", .cpus = 4,
         .setup = setup, .body = {first, user, user, last}, .policy = "tree");
