#include "mm/deferred.h"
#include "tests/sim/scenario.h"

static struct space *s;
static u32 frames;

static void setup(void)
{
    s = sim_space();
    sim_map(s, SIM_VA, 2, PT_USER | PT_WRITE);
    sim_run_in(0, s);
    sim_run_in(1, s);
    frames = sim_frames_in_use();
}

static void initiator(void)
{
    sim_unmap(s, SIM_VA, 1);
    sim_use(SIM_VA, SIM_READ);
    sim_use(SIM_VA + PAGE_SIZE, SIM_READ);
}

static void user(void)
{
    for (u32 i = 0; i < 3; i++) {
        sim_use(SIM_VA, SIM_READ);
        sim_use(SIM_VA, SIM_WRITE);
    }
}

static void end(void)
{
    if (shootdown_policy_defers(shootdown_policy()) && deferred_sweep_all(NULL))
        return; /* until a tick that does not come here */
    SIM_CHECK(sim_frames_in_use() == frames - 1, "%u frames in use, and %u before", sim_frames_in_use(),
              frames);
}

SCENARIO(unmap_one, "one page is taken away from a thread that reads and writes it", .cpus = 2,
         .setup = setup, .body = {initiator, user}, .end = end, .control = true);
