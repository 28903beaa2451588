#include "tests/sim/scenario.h"

static struct space *s;

static void setup(void)
{
    paddr_t p;
    s = sim_space();
    SIM_CHECK(frame_alloc_order(FRAME_2M, FRAME_OWNER_USER, &p) == ERR_OK, "no block");
    SIM_CHECK(space_map(s, SIM_VA, p, 2 * MIB, PT_2M, PT_USER | PT_WRITE) == ERR_OK, "no mapping");
    sim_watch(s, SIM_VA);
    sim_watch(s, SIM_VA + MIB);
    sim_run_in(0, s);
    sim_run_in(1, s);
}

/* The page is split; entries of both sizes may be cached at once. Then all of it goes, and its tables. */
static void initiator(void)
{
    sim_protect(s, SIM_VA + MIB, 1, PT_USER);
    sim_unmap(s, SIM_VA, 512);
}

static void user(void)
{
    sim_use(SIM_VA + MIB, SIM_WRITE);
    sim_use(SIM_VA, SIM_WRITE);
    sim_use(SIM_VA + MIB, SIM_READ);
    sim_use(SIM_VA + MIB, SIM_WRITE);
}

SCENARIO(large_page, "a 2 MiB page is split to protect a part, then unmapped", .cpus = 2, .setup = setup,
         .body = {initiator, user}, .slow = true, .one_policy = true);
