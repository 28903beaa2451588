/* Full fences. Nothing outside this file writes MFENCE, LFENCE or a locked no-op; a caller says beside each use what
 * it orders, what it pairs with, and what would go wrong without it. */
#pragma once

#ifdef VOLLEY_SIM
#include "lib/x86/sim.h"
#endif
#include "lib/patch.h"
#include "lib/types.h"
#include "lib/x86/cpu.h"

/* All earlier loads and stores are globally performed before any later one. A locked add to the stack is faster than
 * MFENCE on every x86-64 and orders the same for write-back memory (SDM volume 3A, section 9.2.2). */
static ALWAYS_INLINE void fence_full(void)
{
#ifdef VOLLEY_SIM
    sim_fence(__func__);
#elif defined(VOLLEY_HOST)
    extern u64 host_fence_word; /* a locked operation that ThreadSanitizer understands */
    __atomic_fetch_add(&host_fence_word, 0, __ATOMIC_SEQ_CST);
#else
    __asm__ volatile("lock addl $0, -4(%%rsp)" ::: "memory", "cc");
#endif
}

/* Makes earlier stores visible before a following WRMSR that starts an x2APIC IPI: WRMSR to an x2APIC register is not
 * serialising (SDM volume 3A, section 11.12.3), MFENCE drains the store buffer, LFENCE keeps the WRMSR behind it. */
static ALWAYS_INLINE void fence_before_x2apic_icr(void)
{
#ifdef VOLLEY_HOST
    fence_full();
#else
    __asm__ volatile("mfence; lfence" ::: "memory");
#endif
}

/* The fence, and the WRMSR to the ICR. Where PATCH_ICR is switched on, apic_fault_entry (apic/icr_fault.asm) is called in place of the
 * WRMSR, with its registers. Three prefixes that mean nothing in 64-bit mode make it as long as the call: a site is one instruction,
 * so that nobody who is interrupted there can come back into the middle of the call. */
static ALWAYS_INLINE void fence_and_write_x2apic_icr(u32 msr, u64 command)
{
#ifdef VOLLEY_HOST
    fence_before_x2apic_icr();
    wrmsr(msr, command);
#else
    __asm__ volatile("mfence\n"
                     "lfence\n"
                     "1:\t.byte 0x2e, 0x2e, 0x2e\n\t"
                     "wrmsr\n\t"
                     ".pushsection .patch_sites, \"a\"\n\t"
                     ".quad 1b, apic_fault_entry, %c3\n\t"
                     ".popsection" ::"c"(msr),
                     "a"((u32)command), "d"((u32)(command >> 32)), "i"(PATCH_ICR | PATCH_SITE_WRMSR)
                     : "memory");
#endif
}
