/* CPUID into struct cpu_features. Manual: SDM volume 2, CPUID; AMD manual volume 3, appendix E, where the 0x8000xxxx
 * leaves come from. */
#include "kernel/features.h"
#include "lib/string.h"
#include "lib/x86/cpu.h"

static bool bit(u32 word, u32 n)
{
    return word >> n & 1;
}

static void basic(struct cpu_features *f, u32 last)
{
    struct cpuid_regs r = cpuid(0, 0);
    memcpy(f->vendor, &r.ebx, 4);
    memcpy(f->vendor + 4, &r.edx, 4);
    memcpy(f->vendor + 8, &r.ecx, 4);

    r = cpuid(1, 0);
    u32 base_family = r.eax >> 8 & 0xf, base_model = r.eax >> 4 & 0xf;
    f->stepping = r.eax & 0xf;
    f->family = base_family == 0xf ? base_family + (r.eax >> 20 & 0xff) : base_family;
    f->model = base_family == 0xf || base_family == 6 ? base_model | (r.eax >> 12 & 0xf0) : base_model;
    f->pge = bit(r.edx, 13);
    f->mwait = bit(r.ecx, 3);
    f->pcid = bit(r.ecx, 17);
    f->x2apic = bit(r.ecx, 21);
    f->tsc_deadline = bit(r.ecx, 24);
    f->xsave = bit(r.ecx, 26);
    f->hypervisor = bit(r.ecx, 31);

    if (last < 7)
        return;
    r = cpuid(7, 0);
    f->fsgsbase = bit(r.ebx, 0);
    f->smep = bit(r.ebx, 7);
    f->invpcid = bit(r.ebx, 10);
    f->smap = bit(r.ebx, 20);
    f->umip = bit(r.ecx, 2);
    f->la57 = bit(r.ecx, 16);
}

static void brand(struct cpu_features *f)
{
    char text[49] = {0};
    for (u32 i = 0; i < 3; i++) {
        struct cpuid_regs r = cpuid(0x80000002u + i, 0);
        memcpy(text + 16 * i, &r, 16);
    }
    const char *start = text;
    while (*start == ' ') /* some models pad on the left */
        start++;
    string_copy(f->brand, sizeof(f->brand), start);
}

static void extended(struct cpu_features *f)
{
    u32 last = cpuid(0x80000000u, 0).eax;
    f->phys_bits = 36; /* what a CPU without leaf 0x80000008 has (SDM volume 3A, section 4.1.4) */
    f->virt_bits = 48;
    if (last >= 0x80000001u) {
        struct cpuid_regs r = cpuid(0x80000001u, 0);
        f->nx = bit(r.edx, 20);
        f->page_1g = bit(r.edx, 26);
        f->rdtscp = bit(r.edx, 27);
    }
    if (last >= 0x80000004u)
        brand(f);
    if (last >= 0x80000007u)
        f->invariant_tsc = bit(cpuid(0x80000007u, 0).edx, 8);
    if (last >= 0x80000008u) {
        u32 widths = cpuid(0x80000008u, 0).eax;
        f->phys_bits = (u8)widths;
        f->virt_bits = (u8)(widths >> 8);
    }
}

void features_detect(struct cpu_features *out)
{
    memset(out, 0, sizeof(*out));
    basic(out, cpuid(0, 0).eax);
    extended(out);
    if (out->hypervisor) { /* by convention of all hypervisors, and never used by hardware */
        struct cpuid_regs r = cpuid(0x40000000u, 0);
        memcpy(out->hypervisor_id, &r.ebx, 12);
    }
}
