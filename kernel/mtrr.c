#include "kernel/mtrr.h"

#include "kernel/trap.h"
#include "lib/x86/cpu.h"

#define CPUID_1_EDX_MTRR (1u << 12)
#define MSR_CAP          0xfeu /* read-only: VCNT, FIX */
#define CAP_FIXED        (1u << 8)
#define MSR_TYPE         0x2ffu
#define TYPE_ENABLE      (1u << 11)
#define MSR_FIRST        0x200u /* base and mask of each variable range */
#define RANGES_MAX       32u
#define CR0_NW           (1ull << 29)
#define CR0_CD           (1ull << 30)
#define CR4_PGE          (1ull << 7)

static const u16 fixed_ranges[] = {0x250, 0x258, 0x259, 0x268, 0x269, 0x26a,
                                   0x26b, 0x26c, 0x26d, 0x26e, 0x26f};
static u64 kept_cap, kept[1 + 2 * RANGES_MAX + ARRAY_SIZE(fixed_ranges)];
static bool have_kept;

/* The `n`-th that there is; 0 behind the last. The one that enables them all comes first. */
static u32 number(u32 n)
{
    u32 variable = 2 * MIN((u32)(kept_cap & 0xff), RANGES_MAX);
    if (n == 0)
        return MSR_TYPE;
    if (--n < variable)
        return MSR_FIRST + n;
    n -= variable;
    return (kept_cap & CAP_FIXED) && n < ARRAY_SIZE(fixed_ranges) ? fixed_ranges[n] : 0;
}

void mtrr_keep(void)
{
    if (!(cpuid(1, 0).edx & CPUID_1_EDX_MTRR) || safe_rdmsr(MSR_CAP, &kept_cap) != 0)
        return;
    for (u32 n = 0, msr; (msr = number(n)) != 0; n++)
        if (safe_rdmsr(msr, &kept[n]) != 0)
            return;
    have_kept = true;
}

static u32 first_different(void)
{
    for (u32 n = 0, msr; (msr = number(n)) != 0; n++) {
        u64 now;
        if (safe_rdmsr(msr, &now) != 0 || now != kept[n])
            return msr;
    }
    return 0;
}

/* The procedure of SDM volume 3A, section 12.11.7.2, without its meeting of all CPUs: this one runs nothing yet but this code, and
 * what it has cached so far was cached by types that are wrong. */
static void write_kept(void)
{
    u64 cr0 = cr0_read(), cr4 = cr4_read();
    cr0_write((cr0 | CR0_CD) & ~CR0_NW);
    wbinvd();
    cr4_write(cr4 & ~CR4_PGE);
    cr3_write(cr3_read());
    /* What is refused is found by who compares afterwards. */
    (void)safe_wrmsr(MSR_TYPE, kept[0] & ~(u64)TYPE_ENABLE);
    for (u32 n = 1, msr; (msr = number(n)) != 0; n++)
        (void)safe_wrmsr(msr, kept[n]);
    (void)safe_wrmsr(MSR_TYPE, kept[0]);
    wbinvd();
    cr3_write(cr3_read());
    cr0_write(cr0);
    cr4_write(cr4);
}

struct mtrr_found mtrr_match(void)
{
    struct mtrr_found found = {0, 0};
    u64 cap;
    if (!have_kept)
        return found;
    if (safe_rdmsr(MSR_CAP, &cap) != 0 || cap != kept_cap)
        return (struct mtrr_found){MSR_CAP, MSR_CAP}; /* nothing can make them alike */
    found.was = first_different();
    if (found.was) {
        write_kept();
        found.left = first_different();
    }
    return found;
}
