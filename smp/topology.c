#include "smp/topology.h"

#include "lib/x86/cpu.h"
#include "smp/cpus.h"

#define LEAF_TOPOLOGY 0xbu

/* ECX[15:8] of leaf 0Bh (SDM volume 2, CPUID) */
enum level { LEVEL_NONE, LEVEL_THREAD, LEVEL_CORE };

/* No leaf: an id is a core's. */
static u32 thread_bits, package_bits = 32;

void topology_init(void)
{
    if (cpuid(0, 0).eax < LEAF_TOPOLOGY || cpuid(LEAF_TOPOLOGY, 0).ebx == 0)
        return;
    /* Each sub-leaf tells by how much to shift an id to get to the next level; the last one leaves the package. */
    u32 bits = 0, threads = 0;
    for (u32 i = 0; i < 8; i++) {
        struct cpuid_regs r = cpuid(LEAF_TOPOLOGY, i);
        u32 level = r.ecx >> 8 & 0xff;
        if (level == LEVEL_NONE)
            break;
        bits = r.eax & 31;
        if (level == LEVEL_THREAD)
            threads = bits;
    }
    if (bits < threads)
        return;
    thread_bits = threads;
    package_bits = bits;
}

struct topology topology_of(cpu_t cpu)
{
    return topology_split(cpu_apic_id(cpu), thread_bits, package_bits);
}
