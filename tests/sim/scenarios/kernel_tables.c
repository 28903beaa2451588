#include "lib/features.h"
#include "tests/sim/scenario.h"

#define KVA (KMAP_DYNAMIC_BASE + GIB)

static struct space *s;
static u32 prot;

static void setup(void)
{
    prot = PT_WRITE | (features.pge ? PT_GLOBAL : 0);
    s = sim_space();
    sim_map(&kernel_space, KVA, 1, prot);
    sim_map(&kernel_space, KVA + 4 * MIB, 1, prot);
    sim_map(s, SIM_VA, 1, PT_USER | PT_WRITE);
    sim_run_in(1, s);
    sim_run_in(1, NULL);
}

static void initiator(void)
{
    sim_unmap(&kernel_space, KVA, 1);
    sim_map(&kernel_space, KVA + 8 * MIB, 1, prot);
    sim_use_kernel(KVA + 8 * MIB, SIM_WRITE);
}

static void user(void)
{
    sim_use_kernel(KVA + 4 * MIB, SIM_WRITE);
    sim_load_space(s);
    sim_use_kernel(KVA + 4 * MIB, SIM_WRITE);
    sim_load_space(NULL);
    sim_use_kernel(KVA, SIM_READ);
}

SCENARIO(kernel_tables,
         "a kernel page table is freed; all PCIDs of the other CPU may have cached the way to it", .cpus = 2,
         .setup = setup, .body = {initiator, user}, .one_policy = true);
