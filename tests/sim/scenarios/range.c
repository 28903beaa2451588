#include "tests/sim/scenario.h"

#define PAGES 3u

static struct space *s;

static void setup(void)
{
    s = sim_space();
    sim_map(s, SIM_VA, PAGES + 1, PT_USER | PT_WRITE);
    sim_map(s, SIM_VA + 2 * MIB - PAGE_SIZE, 2, PT_USER | PT_WRITE); /* across two page tables */
    sim_map(s, SIM_VA + 2 * MIB + 8 * PAGE_SIZE, 1, PT_USER | PT_WRITE);
    sim_run_in(0, s);
    sim_run_in(1, s);
}

static void use_all(void)
{
    for (u32 i = 0; i <= PAGES; i++)
        sim_use(SIM_VA + i * PAGE_SIZE, SIM_WRITE);
    sim_use(SIM_VA + 2 * MIB - PAGE_SIZE, SIM_WRITE);
    sim_use(SIM_VA + 2 * MIB, SIM_WRITE);
}

static void initiator(void)
{
    sim_protect(s, SIM_VA, PAGES, PT_USER);
    sim_unmap(s, SIM_VA, PAGES);
    sim_unmap(s, SIM_VA + 2 * MIB - PAGE_SIZE, 2);
    use_all();
}

static void user(void)
{
    use_all();
    use_all();
}

SCENARIO(range,
         "ranges of several pages, one of them across two page tables: the first and the last page go too",
         .cpus = 2, .setup = setup, .body = {initiator, user});
