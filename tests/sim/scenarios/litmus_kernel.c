/* Ranges of the kernel's own half, which every CPU may use at any time, in any root. */
#include "lib/features.h"
#include "tests/sim/litmus.h"

#define KVA  (KMAP_DYNAMIC_BASE + GIB)
#define PROT (PT_WRITE | (features.pge ? PT_GLOBAL : 0))

static void kernel_pages(u32 n, u32 ceiling)
{
    shootdown_ceiling = ceiling;
    sim_map(&kernel_space, KVA, n, PROT);
}
static void use_kernel_pages(u32 n)
{
    for (u32 i = 0; i < n; i++)
        sim_use_kernel(KVA + i * PAGE_SIZE, SIM_WRITE);
}

LITMUS(litmus_kernel_range, "kernel pages go one by one", kernel_pages(4, 33),
       sim_unmap(&kernel_space, KVA, 3), use_kernel_pages(4));

LITMUS(litmus_kernel_whole, "more kernel pages than the ceiling go: all is forgotten, global entries too",
       kernel_pages(4, 2), sim_unmap(&kernel_space, KVA, 3), use_kernel_pages(4));

LITMUS(litmus_kernel_read_only, "writing is taken away from kernel pages", kernel_pages(2, 33),
       sim_protect(&kernel_space, KVA, 1, PT_GLOBAL &PROT), use_kernel_pages(2));
