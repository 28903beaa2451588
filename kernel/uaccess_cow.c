/* The write of mm/cow.c, on machines where it is known to replace what is cached. */
#include "kernel/cpu_caches.h"
#include "kernel/uaccess.h"
#include "lib/features.h"
#include "lib/x86/cpu.h"
#include "mm/cow.h"

static bool find_out(void)
{
    struct cpu_tlb t[CPU_TLBS_MAX];
    const char *source;
    if (emulator == EMULATOR_BOCHS)
        return true; /* whatever its CPUID says of a processor's */
    if (emulator != EMULATOR_NONE && emulator != EMULATOR_KVM)
        return false;
    for (u32 i = cpu_tlbs_read(cpuid, t, &source); i--;)
        if (t[i].kind == TLB_LOADS || t[i].kind == TLB_STORES)
            return false;
    return true;
}

bool uaccess_stores_replace(void)
{
    static enum { UNKNOWN, NO, YES } known; /* the same on whichever CPU asks first */
    if (known == UNKNOWN)
        known = find_out() ? YES : NO;
    return known == YES;
}

/* With its interrupts off this CPU promises nothing between mm's look and this access. Under page-table isolation the fault of ring 3 has
 * forgotten the entry of its own root's PCID, and not what a copy of the kernel's has cached under the other. */
static bool write_for_cow(vaddr_t va)
{
    return !features.pti && uaccess_stores_replace() && uaccess_rewrite((void *)va) == 0;
}
COW_WRITER(uaccess_cow_writer, write_for_cow);
