/* Sources: BIOS and Kernel Developer's Guides of families 0Fh (32559), 10h (31116) and 11h (41256), Interrupt Pending and CMP-Halt
 * Register; revision guide of family 10h (41322), erratum 400. */
#include "kernel/amd_c1e.h"

#include "kernel/trap.h"
#include "lib/atomic.h"
#include "lib/log.h"
#include "lib/string.h"

#define MSR_INTERRUPT_PENDING 0xc0010055u
#define SMI_ON_CMP_HALT       (1ull << 27) /* when the last core halts, firmware's SMI handler does it */
#define C1E_ON_CMP_HALT       (1ull << 28) /* the hardware does */
#define ENTERED_WHEN_ALL_HALT (SMI_ON_CMP_HALT | C1E_ON_CMP_HALT)

bool amd_c1e_stops_timer(const struct cpu_features *cpu)
{
    return cpu->family >= 0x0f && cpu->family <= 0x11 && strcmp(cpu->vendor, "AuthenticAMD") == 0;
}

void amd_c1e_init_cpu(void)
{
    static u32 told;
    u64 was;
    if (!amd_c1e_stops_timer(&features) || safe_rdmsr(MSR_INTERRUPT_PENDING, &was) != 0 ||
        !(was & ENTERED_WHEN_ALL_HALT))
        return;
    bool done = safe_wrmsr(MSR_INTERRUPT_PENDING, was & ~ENTERED_WHEN_ALL_HALT) == 0;
    if (atomic_xchg(&told, 1))
        return;
    if (done)
        log_info("idle: AMD's C1E, in which timers stop (erratum 400), was on: off now");
    else
        log_warn("idle: AMD's C1E, in which timers stop (erratum 400), stays on: idle=poll avoids it");
}
