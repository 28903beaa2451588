/* One instruction each: CPUID, MSRs, control registers, interrupt flag, PAUSE, TSC, port I/O, descriptor tables.
 *
 * Callers: any context unless said otherwise; all are ring 0 only but CPUID, PAUSE, RDTSC.
 * Manual: Intel SDM volume 2 (instructions), volume 3A section 2.5 (control registers), volume 4 (MSRs).
 * On the host the privileged ones are functions that the simulated machine supplies (lib/x86/host.h). */
#pragma once

#include "lib/cost.h"
#include "lib/types.h"

struct cpuid_regs {
    u32 eax, ebx, ecx, edx;
};

static inline struct cpuid_regs cpuid(u32 leaf, u32 subleaf)
{
    struct cpuid_regs r;
    __asm__ volatile("cpuid" : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx) : "a"(leaf), "c"(subleaf));
    return r;
}

#define MWAIT_BREAK_ON_MASKED 1u /* cpu_mwait: an interrupt ends it though masked (CPUID.05H:ECX[1]) */

#ifdef VOLLEY_SIM /* the simulated machine has its own clock, and lets another CPU run */
void cpu_pause(void);
void cpu_monitor(const void *line);
void cpu_mwait(u32 extensions);
void irq_enable_and_mwait(void);
u64 rdtsc(void);
u64 rdtsc_ordered(void);
#else
/* Tells the core, and QEMU's single-threaded TCG, that this CPU waits for another. Every waiting loop has one. */
static ALWAYS_INLINE void cpu_pause(void)
{
    __asm__ volatile("pause" ::: "memory");
}

/* Time-stamp counter, in ticks of tsc_hz. Not ordered against earlier instructions: enough for waits and log stamps. */
static ALWAYS_INLINE u64 rdtsc(void)
{
    u32 lo, hi;
    __asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi)::"memory");
    return (u64)hi << 32 | lo;
}

/* Time-stamp counter for measuring: LFENCE on both sides keeps the measured code between two readings
 * (SDM volume 2, RDTSC: "If software requires RDTSC to be executed only after all previous ...", use LFENCE). */
static ALWAYS_INLINE u64 rdtsc_ordered(void)
{
    u32 lo, hi;
    __asm__ volatile("lfence; rdtsc; lfence" : "=a"(lo), "=d"(hi)::"memory");
    return (u64)hi << 32 | lo;
}

#endif /* VOLLEY_SIM */

#ifdef VOLLEY_HOST
#include "lib/x86/host.h"
#else

#define RFLAGS_IF 0x200ull
#define RFLAGS_AC 0x40000ull

static ALWAYS_INLINE u64 rflags_read(void)
{
    u64 f;
    __asm__ volatile("pushfq; popq %0" : "=r"(f)::"memory");
    return f;
}

static ALWAYS_INLINE bool irq_enabled(void)
{
    return (rflags_read() & RFLAGS_IF) != 0;
}
static ALWAYS_INLINE void irq_disable(void)
{
    __asm__ volatile("cli" ::: "memory");
}
static ALWAYS_INLINE void irq_enable(void)
{
    __asm__ volatile("sti" ::: "memory");
}

/* Turns interrupts off and returns whether they were on, for irq_restore. */
static ALWAYS_INLINE bool irq_save(void)
{
    bool was_on = irq_enabled();
    irq_disable();
    return was_on;
}

static ALWAYS_INLINE void irq_restore(bool was_on)
{
    if (was_on)
        irq_enable();
}

/* STI delays interrupts by one instruction, so none can slip in between it and HLT and be slept through
 * (SDM volume 2, STI). An NMI can, and kernel/nmi.c:nmi_step_over_halt minds it: so this may end at once, as by an interrupt. */
static ALWAYS_INLINE void irq_enable_and_halt(void)
{
    __asm__ volatile("sti; hlt" ::: "memory");
}

/* MONITOR arms the address; MWAIT then sleeps until somebody stores to it, or an interrupt comes. It may also return at once. SDM volume 2, MONITOR and MWAIT; volume 3A, section 9.10. */
static ALWAYS_INLINE void cpu_monitor(const void *line)
{
    __asm__ volatile("monitor" ::"a"(line), "c"(0), "d"(0) : "memory");
}
static ALWAYS_INLINE void cpu_mwait(u32 extensions)
{
    __asm__ volatile("mwait" ::"a"(0), "c"(extensions) : "memory"); /* hint 0: C1 */
}
/* As irq_enable_and_halt. */
static ALWAYS_INLINE void irq_enable_and_mwait(void)
{
    __asm__ volatile("sti; mwait" ::"a"(0), "c"(0) : "memory");
}

static inline u64 rdmsr(u32 msr)
{
    u32 lo, hi;
    __asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr) : "memory");
    return (u64)hi << 32 | lo;
}

static ALWAYS_INLINE void wrmsr(u32 msr, u64 v)
{
    __asm__ volatile("wrmsr" ::"c"(msr), "a"((u32)v), "d"((u32)(v >> 32)) : "memory");
}

/* charge: what a write costs under a cost model. */
#define CR_ACCESSORS(n, charge)                                                                              \
    static ALWAYS_INLINE u64 cr##n##_read(void)                                                              \
    {                                                                                                        \
        u64 v;                                                                                               \
        __asm__ volatile("mov %%cr" #n ", %0" : "=r"(v)::"memory");                                          \
        return v;                                                                                            \
    }                                                                                                        \
    static ALWAYS_INLINE void cr##n##_write(u64 v)                                                           \
    {                                                                                                        \
        __asm__ volatile("mov %0, %%cr" #n ::"r"(v) : "memory");                                             \
        charge;                                                                                              \
    }
CR_ACCESSORS(0, (void)0)
CR_ACCESSORS(3, cost_cr3())
CR_ACCESSORS(4, (void)0)
#undef CR_ACCESSORS

/* Writes back and empties the caches: milliseconds. */
static inline void wbinvd(void)
{
    __asm__ volatile("wbinvd" ::: "memory");
}

static ALWAYS_INLINE u64 cr2_read(void)
{
    u64 v;
    __asm__ volatile("mov %%cr2, %0" : "=r"(v)::"memory");
    return v;
}

static ALWAYS_INLINE void cr2_write(u64 v)
{
    __asm__ volatile("mov %0, %%cr2" ::"r"(v) : "memory");
}

static ALWAYS_INLINE void out8(u16 port, u8 v)
{
    __asm__ volatile("outb %0, %1" ::"a"(v), "Nd"(port) : "memory");
}
static ALWAYS_INLINE void out16(u16 port, u16 v)
{
    __asm__ volatile("outw %0, %1" ::"a"(v), "Nd"(port) : "memory");
}
static ALWAYS_INLINE void out32(u16 port, u32 v)
{
    __asm__ volatile("outl %0, %1" ::"a"(v), "Nd"(port) : "memory");
}

static ALWAYS_INLINE u8 in8(u16 port)
{
    u8 v;
    __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port) : "memory");
    return v;
}

static ALWAYS_INLINE u16 in16(u16 port)
{
    u16 v;
    __asm__ volatile("inw %1, %0" : "=a"(v) : "Nd"(port) : "memory");
    return v;
}

static ALWAYS_INLINE u32 in32(u16 port)
{
    u32 v;
    __asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port) : "memory");
    return v;
}
#endif /* VOLLEY_HOST */
