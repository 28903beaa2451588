/* The local APIC: one seam over x2APIC (MSRs) and xAPIC (memory). Owns the ICR; knows no messages and no CPU indices.
 *
 * Mode is chosen once, on the boot CPU, and is the same on all CPUs. x2APIC wherever the CPU has it, unless x2apic=off.
 * Manual: SDM volume 3A, chapter 11 (APIC), section 11.12 (x2APIC). */
#pragma once

#include "apic/driver.h"
#include "apic/vectors.h"
#include "apic/x2apic.h"
#include "lib/types.h"
#include "lib/x86/cpu.h"

/* Write-once. */
extern bool apic_is_x2apic;
extern volatile u32
    *apic_mmio; /* xAPIC registers, mapped uncached by the caller of apic_init; NULL in x2APIC mode */

/* Boot CPU, once, interrupts off. Before it only apic_id_cpuid and apic_mmio_page work. want_x2apic: use it if the
 * CPU has it (firmware may have left it on, or locked it on: then it is used all the same, and apic_init says so).
 * mmio: where the xAPIC page is mapped; needed in xAPIC mode only: ERR_INVAL if it is NULL then. Does not touch the
 * boot CPU's own APIC: see apic_init_cpu. */
err_t apic_init(bool want_x2apic, volatile u32 *mmio) MUST_CHECK;

/* Each CPU, once, interrupts off, before its first IPI: enables the APIC in the chosen mode, spurious vector, LINT0
 * masked, LINT1 = NMI on the boot CPU only, error vector, task priority 0, and acknowledges what firmware left in
 * service. */
void apic_init_cpu(void);

/* This CPU's id, from the enabled interface (x2APIC: 32 bits; xAPIC: 8). After apic_init_cpu. */
apic_id_t apic_id(void);
/* Whether an interrupt can be sent to this id alone. Without x2APIC a destination has 8 bits, and 0xff is everybody: an
 * INIT to it would reset the sender too. After apic_init. */
bool apic_can_reach(apic_id_t id);
/* This CPU's logical x2APIC id: cluster << 16 | 1 << (id & 15). x2APIC only. */
u32 apic_logical_id(void);
/* This CPU's id from CPUID (leaf 0x1f, 0xb or 1), usable before the APIC is enabled. */
apic_id_t apic_id_cpuid(void);
/* Where this CPU's xAPIC page is: what the caller of apic_init is to map, uncached, unless CPUID says x2APIC.
 * Usable before apic_init, and better than the MADT's word, because it is where the hardware will look. */
paddr_t apic_mmio_page(void);

/* Ends the interrupt in service. Every handler but that of the spurious vector and of NMIs, once. */
static ALWAYS_INLINE void apic_eoi(void)
{
    if (likely(apic_is_x2apic))
        wrmsr(MSR_X2APIC(APIC_REG_EOI), 0);
    else
        apic_mmio[APIC_REG_EOI / 4] = 0;
}

/* Interrupts to other CPUs. One function per mode writes the ICR (apic/x2apic.h, apic/xapic.c), with what orders
 * the sender's stores before the interrupt. Any context; interrupts may be on. In xAPIC mode a command is two
 * registers, so that an NMI handler which sends between a sender's two writes mixes two commands: the panic path
 * knows and takes the risk. A dest that no CPU has is harmless; dest 0xff in xAPIC mode, and 0xffffffff in x2APIC
 * mode, are all CPUs. */
static ALWAYS_INLINE void apic_send_fixed(apic_id_t dest, vector_t v)
{
    if (likely(apic_is_x2apic))
        x2apic_icr_write(dest, ICR_FIXED | ICR_ASSERT | v);
    else
        apic_driver->icr_write(dest, ICR_FIXED | ICR_ASSERT | v);
}
static ALWAYS_INLINE void apic_send_fixed_all_but_self(vector_t v)
{
    if (likely(apic_is_x2apic))
        x2apic_icr_write(0, ICR_FIXED | ICR_ASSERT | ICR_ALL_BUT_SELF | v);
    else
        apic_driver->icr_write(0, ICR_FIXED | ICR_ASSERT | ICR_ALL_BUT_SELF | v);
}
/* x2APIC only: every CPU of one cluster whose bit is set; dest = cluster << 16 | bits. */
static ALWAYS_INLINE void apic_send_fixed_cluster(u32 logical_dest, vector_t v)
{
    x2apic_icr_write(logical_dest, ICR_FIXED | ICR_ASSERT | ICR_LOGICAL | v);
}
void apic_send_fixed_self(vector_t v);
void apic_send_nmi(apic_id_t dest);
/* Only while every CPU of the machine is online. One that waits for a SIPI ignores NMIs on hardware, but QEMU runs
 * it from its reset vector, and one that firmware keeps halted wakes up in firmware's memory. */
void apic_send_nmi_all_but_self(void);
void apic_send_init(apic_id_t dest);                  /* INIT, assert; then the caller waits 10 ms */
void apic_send_startup(apic_id_t dest, paddr_t page); /* page: below 1 MiB, 4 KiB aligned */

/* Interrupt commands written by this CPU so far (the ICR, and the SELF IPI register): the `icr` of the records. */
u64 apic_icr_writes(void);

/* This CPU's timer: one-shot, counts APIC-timer ticks after division by 16, then raises VECTOR_TIMER. ticks > 0.
 * Setting it again starts over. A stop can come too late for an interrupt that is already pending. */
void apic_timer_oneshot(u32 ticks);
void apic_timer_stop(void);
/* TSC-deadline mode (CPUID.1:ECX[24]) instead of the above, or back; the timer is stopped. Interrupts off. */
void apic_timer_mode(bool deadline);
/* In that mode: raises VECTOR_TIMER when this CPU's TSC reaches `tsc`; 0: not at all. */
void apic_timer_deadline(u64 tsc);
/* Ticks left. Never call it under QEMU's -icount, where reading it in x2APIC mode ends the emulator. */
u32 apic_timer_left(void);

/* Error status register, read and cleared: 0 when all is well (SDM 11.5.3). */
u32 apic_error_take(void);
/* Whether vector v waits to be taken (IRR), or is in service (ISR), on this CPU. Slow; for tests and reports. */
bool apic_vector_pending(vector_t v);
bool apic_vector_in_service(vector_t v);
