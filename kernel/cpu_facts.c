#include "kernel/cpu_facts.h"

#include "kernel/invlpg_erratum.h"
#include "kernel/mtrr.h"
#include "kernel/trap.h"
#include "lib/log.h"
#include "lib/percpu.h"
#include "lib/x86/cpu.h"
#include "smp/cpus.h"

#define MSR_PAT 0x277u
/* Differences named one by one; the rest is a number. */
#define NAMED 8u

static struct cpu_facts facts[MAX_CPUS]; /* each written by its CPU before that is online, then only read */
static u32 differ, mtrrs_mended;

/* ---- CPUID ---- */

#define CPUID_1_ECX_OSXSAVE (1u << 27)
#define CPUID_1_EDX_APIC    (1u << 9)
#define CPUID_7_ECX_OSPKE   (1u << 4)
#define CPUID_7_EDX_HYBRID  (1u << 15)

static void note_cpuid(struct cpu_facts *f)
{
    u32 last = cpuid(0, 0).eax, extended = cpuid(0x80000000u, 0).eax;
    struct cpuid_regs r = cpuid(1, 0);
    f->signature = r.eax;
    f->feature[0] = r.ecx & ~CPUID_1_ECX_OSXSAVE;
    f->feature[1] = r.edx & ~CPUID_1_EDX_APIC;
    if (last >= 7) {
        r = cpuid(7, 0);
        f->feature[2] = r.ebx;
        f->feature[3] = r.ecx & ~CPUID_7_ECX_OSPKE;
        f->feature[4] = r.edx;
        if ((r.edx & CPUID_7_EDX_HYBRID) && last >= 0x1a)
            f->core_type = (u8)(cpuid(0x1a, 0).eax >> 24);
    }
    if (extended >= 0x80000001u) {
        r = cpuid(0x80000001u, 0);
        f->feature[5] = r.ecx;
        f->feature[6] = r.edx;
    }
    if (extended >= 0x80000007u)
        f->feature[7] = cpuid(0x80000007u, 0).edx;
    if (extended >= 0x80000008u)
        f->feature[8] = cpuid(0x80000008u, 0).ebx;
}

void cpu_facts_note(void)
{
    cpu_t self = cpu_self();
    struct cpu_facts *f = &facts[self];
    note_cpuid(f);
    f->microcode = invlpg_erratum_microcode();
    if (self == 0) {
        mtrr_keep();
    } else {
        struct mtrr_found m = mtrr_match();
        f->mtrr_was = m.was;
        f->mtrr_left = m.left;
    }
    if (safe_rdmsr(MSR_PAT, &f->pat) != 0)
        f->pat = 0;
}

u32 cpu_facts_compare(void)
{
    u32 found = 0, mended = 0, first = 0;
    char text[256];
    CPUMASK_FOREACH (c, &cpus_online) {
        cpu_facts_text(&facts[0], &facts[c], text, sizeof(text));
        if (facts[c].mtrr_was && !facts[c].mtrr_left) {
            first = mended++ ? first : facts[c].mtrr_was;
        }
        if (text[0] && ++found <= NAMED)
            log_warn("CPU %u differs from CPU 0: %s", c, text);
    }
    if (found > NAMED)
        log_warn("%u more CPUs differ from CPU 0", found - NAMED);
    if (mended)
        log_info("memory types: firmware had set up %u CPUs unlike CPU 0 (the first in MTRR %x); they have "
                 "CPU 0's now",
                 mended, first);
    mtrrs_mended = mended;
    differ = found;
    return found;
}

const struct cpu_facts *cpu_facts_of(cpu_t cpu)
{
    return &facts[cpu];
}

u32 cpu_facts_differ(void)
{
    return differ;
}

u32 cpu_facts_mtrrs_mended(void)
{
    return mtrrs_mended;
}
