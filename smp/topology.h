/* Where a CPU sits: package, core and hyper-thread, from its APIC id (SDM volume 3A, section 9.9.3: hierarchical mapping). */
#pragma once

#include "lib/types.h"

struct topology {
    u32 package, core, thread; /* core within the package, thread within the core */
};

/* Boot CPU, once: how many bits of an APIC id each level has, from CPUID leaf 0Bh, which says the same on every CPU. Without
 * that leaf all CPUs are cores of package 0. */
void topology_init(void);
struct topology topology_of(cpu_t cpu); /* cpu < cpu_count() */

/* The arithmetic alone: `thread_bits` lowest bits of the id are the thread, those up to package_bits the core. */
static inline struct topology topology_split(apic_id_t id, u32 thread_bits, u32 package_bits)
{
    u64 wide = id; /* a shift by 32 is defined */
    return (struct topology){
        .package = (u32)(wide >> package_bits),
        .core = (u32)((wide & ((1ull << package_bits) - 1)) >> thread_bits),
        .thread = (u32)(wide & ((1ull << thread_bits) - 1)),
    };
}
