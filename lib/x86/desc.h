/* Descriptor-table registers, and the instruction stream's own fence. Ring 0. Manual: SDM volume 2 (LGDT, LIDT, LTR,
 * LLDT), volume 3A section 2.4 (memory-management registers). */
#pragma once

#include "lib/types.h"
#include "lib/x86/cpu.h"

struct desc_pointer {
    u16 limit; /* size in bytes less 1 */
    u64 base;
} PACKED;

static inline void lgdt(const struct desc_pointer *p)
{
    __asm__ volatile("lgdt %0" ::"m"(*p) : "memory");
}
static inline void lidt(const struct desc_pointer *p)
{
    __asm__ volatile("lidt %0" ::"m"(*p) : "memory");
}
static inline void sgdt(struct desc_pointer *p)
{
    __asm__ volatile("sgdt %0" : "=m"(*p)::"memory");
}
static inline void sidt(struct desc_pointer *p)
{
    __asm__ volatile("sidt %0" : "=m"(*p)::"memory");
}

/* The descriptor must say "available TSS"; the CPU marks it busy. */
static inline void ltr(u16 selector)
{
    __asm__ volatile("ltr %0" ::"r"(selector) : "memory");
}
static inline u16 str(void)
{
    u16 selector;
    __asm__ volatile("str %0" : "=r"(selector));
    return selector;
}
static inline void lldt(u16 selector)
{
    __asm__ volatile("lldt %0" ::"r"(selector) : "memory");
}

/* Loads CS by a far return, then DS, ES and SS. FS and GS stay as they are: writing their selectors would clear GS
 * base, and per-CPU data with it. */
static inline void segments_load(u16 code, u16 data)
{
    __asm__ volatile("pushq %q0\n\t"
                     "leaq 1f(%%rip), %%rax\n\t"
                     "pushq %%rax\n\t"
                     "lretq\n"
                     "1:\tmovl %k1, %%ds\n\t"
                     "movl %k1, %%es\n\t"
                     "movl %k1, %%ss" ::"r"((u64)code),
                     "r"((u64)data)
                     : "rax", "memory");
}

/* Discards what this CPU has fetched and decoded ahead: CPUID is serialising (SDM volume 3A, section 9.3). Owed by
 * every CPU that is about to run code which another CPU has changed (section 8.1.3). */
static inline void cpu_serialize(void)
{
    (void)cpuid(0, 0);
}

/* This CPU is done. NMIs could wake it, and send it back to sleep. */
static inline NORETURN void cpu_halt_forever(void)
{
    for (;;)
        __asm__ volatile("cli; hlt" ::: "memory");
}
