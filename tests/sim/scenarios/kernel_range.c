#include "lib/features.h"
#include "tests/sim/scenario.h"

#define KVA (KMAP_DYNAMIC_BASE + GIB)

static struct space *s;

static void setup(void)
{
    u32 prot = PT_WRITE | (features.pge ? PT_GLOBAL : 0);
    s = sim_space();
    sim_map(&kernel_space, KVA, 2, prot);
    sim_map(s, SIM_VA, 1, PT_USER | PT_WRITE);
    sim_run_in(1, s);
}

static void initiator(void)
{
    u32 prot = PT_WRITE | (features.pge ? PT_GLOBAL : 0);
    sim_unmap(&kernel_space, KVA, 1);
    sim_remap(&kernel_space, KVA + PAGE_SIZE, prot);
    sim_use_kernel(KVA + PAGE_SIZE, SIM_WRITE);
}

/* Under PCIDs the entries may be tagged by each of the two. */
static void user(void)
{
    sim_use_kernel(KVA, SIM_WRITE);
    sim_use_kernel(KVA + PAGE_SIZE, SIM_WRITE);
    sim_load_space(NULL);
    sim_use_kernel(KVA, SIM_WRITE);
    sim_use_kernel(KVA + PAGE_SIZE, SIM_WRITE);
    sim_load_space(s);
    sim_use_kernel(KVA, SIM_WRITE);
    sim_use_kernel(KVA + PAGE_SIZE, SIM_WRITE);
}

SCENARIO(kernel_range, "kernel pages go and change under a CPU that uses them in two roots", .cpus = 2,
         .setup = setup, .body = {initiator, user});
