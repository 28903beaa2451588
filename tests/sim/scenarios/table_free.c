#include "tests/sim/scenario.h"

static struct space *s;

/* Two pages in a page table of their own, and one under another. */
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
    sim_unmap(s, SIM_VA, 2);
    sim_map(s, SIM_VA + 8 * MIB, 1, PT_USER | PT_WRITE);
    sim_use(SIM_VA + 8 * MIB, SIM_WRITE);
}

static void user(void)
{
    for (u32 i = 0; i < 2; i++) {
        sim_use(SIM_VA, SIM_READ);
        sim_use(SIM_VA + PAGE_SIZE, SIM_WRITE);
        sim_use(SIM_VA + 4 * MIB, SIM_WRITE);
    }
}

SCENARIO(table_free, "the last pages of a page table go, and the table's frame is used again at once",
         .cpus = 2, .setup = setup, .body = {initiator, user});
