/* Registers of the local APIC and their bits. Nothing outside apic/ and the tests needs this file.
 *
 * A register's number is its byte offset in the xAPIC page; its x2APIC MSR is 0x800 + number / 16.
 * Manual: SDM volume 3A, tables 11-1 (xAPIC) and 11-6 (x2APIC). */
#pragma once

#include "lib/types.h"

enum apic_reg {
    APIC_REG_ID = 0x020,      /* xAPIC: bits 31:24; x2APIC: all 32 bits, read-only */
    APIC_REG_VERSION = 0x030, /* bits 23:16: index of the last LVT entry */
    APIC_REG_TPR = 0x080,
    APIC_REG_EOI = 0x0b0, /* x2APIC: anything but 0 is #GP */
    APIC_REG_LDR = 0x0d0, /* x2APIC: read-only, set by hardware from the id */
    APIC_REG_SVR = 0x0f0, /* spurious vector, and the software enable */
    APIC_REG_ISR = 0x100, /* 8 registers, 16 bytes apart, 32 vectors each: taken by the CPU, EOI to come */
    APIC_REG_IRR = 0x200, /* the same: accepted, not yet taken by the CPU */
    APIC_REG_ESR = 0x280, /* a write of 0 latches what happened since the last write */
    APIC_REG_LVT_CMCI = 0x2f0, /* if the last LVT index is 6 or more */
    APIC_REG_ICR = 0x300,      /* x2APIC: one 64-bit MSR; xAPIC: writing it sends */
    APIC_REG_ICR_HIGH = 0x310, /* xAPIC only: destination in bits 31:24 */
    APIC_REG_LVT_TIMER = 0x320,
    APIC_REG_LVT_THERMAL = 0x330, /* if the last LVT index is 5 or more */
    APIC_REG_LVT_PERF = 0x340,    /* if the last LVT index is 4 or more */
    APIC_REG_LVT_LINT0 = 0x350,
    APIC_REG_LVT_LINT1 = 0x360,
    APIC_REG_LVT_ERROR = 0x370,
    APIC_REG_TIMER_INITIAL = 0x380,
    APIC_REG_TIMER_CURRENT = 0x390,
    APIC_REG_TIMER_DIVIDE = 0x3e0,
    APIC_REG_SELF_IPI = 0x3f0, /* x2APIC only: the vector alone */
};

/* Interrupt command, low 32 bits; the same in both modes (SDM 11.6.1, 11.12.9). */
enum apic_icr {
    ICR_FIXED = 0u << 8,
    ICR_NMI = 4u << 8, /* vector ignored */
    ICR_INIT = 5u << 8,
    ICR_STARTUP = 6u << 8, /* vector: number of the page below 1 MiB where it starts */
    ICR_LOGICAL = 1u << 11,
    ICR_PENDING = 1u << 12, /* xAPIC, read-only: the last command has not left yet */
    ICR_ASSERT = 1u << 14,  /* must be 1 but for INIT de-assert, which no 64-bit CPU has */
    ICR_SELF = 1u << 18,
    ICR_ALL_BUT_SELF = 3u << 18,
};

enum apic_svr {
    SVR_ENABLE = 1u << 8,
};

/* Local vector table entries (SDM 11.5.1). */
enum apic_lvt {
    LVT_MODE = 7u << 8,
    LVT_MODE_SMI = 2u << 8,
    LVT_MODE_NMI = 4u << 8,
    LVT_MASKED = 1u << 16,
    LVT_TIMER_ONESHOT = 0u << 17,
    LVT_TIMER_DEADLINE = 2u << 17,
};

enum apic_timer_divide {
    TIMER_DIVIDE_16 = 3, /* bits 3, 1, 0 = 011 (SDM figure 11-10) */
};

/* IA32_APIC_BASE (SDM 11.4.4, 11.12.1). Legal changes of EN and EXTD: off -> xAPIC -> x2APIC -> off, nothing else. */
#define MSR_APIC_BASE 0x1bu
enum apic_base {
    APIC_BASE_BSP = 1u << 8,
    APIC_BASE_EXTD = 1u << 10, /* x2APIC mode; CPUID.1:ECX[21] says whether it exists */
    APIC_BASE_EN = 1u << 11,
};
#define APIC_BASE_PAGE   0x000ffffffffff000ull

#define MSR_X2APIC_FIRST 0x800u
#define MSR_X2APIC(reg)  (MSR_X2APIC_FIRST + ((u32)(reg) >> 4))
