#include "tests/sim/scenario.h"

static struct space *s;

static void setup(void)
{
    s = sim_space();
    sim_map(s, SIM_VA, 4, PT_USER | PT_WRITE);
    for (cpu_t c = 0; c < 3; c++)
        sim_run_in(c, s);
}

static void take(u32 mine)
{
    sim_unmap(s, SIM_VA + mine * PAGE_SIZE, 1);
    for (u32 i = 0; i < 4; i++)
        sim_use(SIM_VA + i * PAGE_SIZE, SIM_WRITE);
}

static void first(void)
{
    take(0);
}
static void second(void)
{
    take(1);
}
static void third(void)
{
    take(2);
}

SCENARIO(three_initiators, "three CPUs shoot at each other", .cpus = 3, .setup = setup,
         .body = {first, second, third}, .control = true);
