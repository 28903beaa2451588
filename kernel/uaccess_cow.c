/* The write of mm/cow.c, on machines where it is known to replace what is cached. */
#include "kernel/cpu_caches.h"
#include "kernel/uaccess.h"
#include "lib/features.h"
#include "lib/percpu.h"
#include "lib/x86/cpu.h"
#include "mm/cow.h"

/* Each CPU by its own CPUID: in a processor with two kinds of cores their TLBs differ. */
static PERCPU(bool, asked);
static PERCPU(bool, replace);

bool uaccess_stores_replace(void)
{
    if (unlikely(!this_cpu(asked))) {
        this_cpu(replace) = cpu_stores_replace(cpuid, emulator);
        this_cpu(asked) = true;
    }
    return this_cpu(replace);
}

/* With its interrupts off this CPU promises nothing between mm's look and this access. Under page-table isolation the fault of ring 3 has
 * forgotten the entry of its own root's PCID, and not what a copy of the kernel's has cached under the other. */
static bool write_for_cow(vaddr_t va)
{
    return !features.pti && uaccess_stores_replace() && uaccess_rewrite((void *)va) == 0;
}
COW_WRITER(uaccess_cow_writer, write_for_cow);
