#include "apic/base.h"

u32 apic_base_steps(u64 now, u64 page, bool x2apic, u64 step[APIC_BASE_STEPS])
{
    if (now & APIC_BASE_EXTD)
        return x2apic ? 0 : APIC_BASE_NO_WAY; /* in x2APIC mode the page means nothing */
    u32 n = 0;
    u64 xapic = (now & ~APIC_BASE_PAGE) | page | APIC_BASE_EN;
    /* From off to x2APIC the way leads through xAPIC: the direct change is #GP (SDM volume 3A, section 11.12.5). */
    if (now != xapic)
        step[n++] = xapic;
    if (x2apic)
        step[n++] = xapic | APIC_BASE_EXTD;
    return n;
}

/* SDM volume 4, table 2-2. */
#define MSR_ARCH_CAPABILITIES       0x10au
#define ARCH_CAP_XAPIC_DISABLE      (1ull << 21)
#define MSR_XAPIC_DISABLE_STATUS    0xbdu
#define XAPIC_DISABLE_STATUS_LOCKED (1ull << 0)

bool apic_base_locked(bool capabilities, u64 (*read_msr)(u32 msr))
{
    return capabilities && (read_msr(MSR_ARCH_CAPABILITIES) & ARCH_CAP_XAPIC_DISABLE) &&
           (read_msr(MSR_XAPIC_DISABLE_STATUS) & XAPIC_DISABLE_STATUS_LOCKED);
}
