#include "lib/features.h"
#include "tests/sim/scenario.h"

#define KVA (KMAP_DYNAMIC_BASE + GIB)

static void setup(void)
{
    sim_map(&kernel_space, KVA, 2, PT_WRITE | (features.pge ? PT_GLOBAL : 0));
}

static void initiator(void)
{
    sim_unmap(&kernel_space, KVA, 1);
    sim_remap(&kernel_space, KVA + PAGE_SIZE, PT_WRITE | (features.pge ? PT_GLOBAL : 0));
}

/* Speculation has filled its TLB since it has the kernel's root, before anybody knew of it. */
static void newcomer(void)
{
    sim_cpu_joins();
    sim_use_kernel(KVA, SIM_WRITE);
    sim_use_kernel(KVA + PAGE_SIZE, SIM_WRITE);
}

SCENARIO(cpu_coming_up, "a CPU comes up while kernel pages go: it joins the mask, or has not seen them",
         .cpus = 2, .late_cpus = 2, .setup = setup, .body = {initiator, newcomer}, .one_policy = true);
