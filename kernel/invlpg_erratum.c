/* Which CPUs have the erratum. Published in Intel's specification updates 682436 (ADL063) and 740518 (RPL042): while
 * CR4.PCIDE is set, INVLPG of a global page may leave its entry. Microcode of March 2024 mends it. Without PCIDs, or without
 * global pages, there is nothing to leave, so one of them is switched off where both would be on. */
#include "kernel/invlpg_erratum.h"

#include "lib/string.h"

#ifndef VOLLEY_HOST
#include "kernel/trap.h"
#include "lib/x86/cpu.h"
#endif

static const struct {
    u8 model; /* of family 6 */
    u32 fixed_in;
} affected[] = {
    {0x97, 0x2e},   /* Alder Lake S */
    {0x9a, 0x42c},  /* Alder Lake H, P, U */
    {0xbe, 0x11},   /* Alder Lake N: small cores only */
    {0xb7, 0x118},  /* Raptor Lake S */
    {0xba, 0x4117}, /* Raptor Lake H, P, U */
    {0xbf, 0x2e},   /* Raptor Lake S on Alder Lake's die */
};

bool invlpg_erratum_applies(const struct cpu_features *cpu, u32 microcode, u32 *fixed_in)
{
    if (cpu->family != 6 || strcmp(cpu->vendor, "GenuineIntel") != 0)
        return false;
    for (u32 i = 0; i < ARRAY_SIZE(affected); i++) {
        if (cpu->model != affected[i].model)
            continue;
        *fixed_in = affected[i].fixed_in;
        return cpu->hypervisor || microcode < affected[i].fixed_in;
    }
    return false;
}

const char *invlpg_erratum_avoid(struct cpu_features *f, bool insists_on_pcid)
{
    f->invlpg_erratum = true;
    if (!f->pge)
        return "there are no global pages anyway";
    if (!f->pcid)
        return "there are no PCIDs anyway";
    if (insists_on_pcid) {
        f->pge = false;
        return "no global pages, as pcid=on was given";
    }
    f->pcid = f->invpcid = false;
    return "no PCIDs; pcid=on gives global pages up instead";
}

#ifndef VOLLEY_HOST
#define MSR_BIOS_SIGN_ID 0x8bu
#define VENDOR_AUTH      0x68747541u /* of AuthenticAMD */
#define VENDOR_HYGO      0x6f677948u /* of HygonGenuine */

/* AMD's is in the low half, and there to be read (PATCH_LEVEL). Intel's CPUID loads the revision into the high half, if the MSR was 0
 * (SDM volume 3A, section 10.11.7.1). */
u32 invlpg_erratum_microcode(void)
{
    u64 sign;
    u32 vendor = cpuid(0, 0).ebx;
    if (vendor == VENDOR_AUTH || vendor == VENDOR_HYGO)
        return safe_rdmsr(MSR_BIOS_SIGN_ID, &sign) == 0 ? (u32)sign : 0;
    if (safe_wrmsr(MSR_BIOS_SIGN_ID, 0) != 0)
        return 0;
    (void)cpuid(1, 0);
    return safe_rdmsr(MSR_BIOS_SIGN_ID, &sign) == 0 ? (u32)(sign >> 32) : 0;
}
#endif
