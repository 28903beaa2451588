/* The execution ladder: what code may do, by where it runs.
 *
 *   THREAD   may wait for other CPUs, allocate, take locks. Interrupts on.
 *   IRQ-OFF  thread code with interrupts off: may post messages (which can return FULL), never waits for a CPU.
 *   IPI      inside an interrupt handler: runs message functions; never waits.
 *   NMI      inside NMI or machine check: sets words; no locks, no log, no user memory unless nmi_user_access_ok().
 *
 * Functions that are safe in one context only assert it first, with these. */
#pragma once

#include "lib/assert.h"
#include "lib/features.h"
#include "lib/percpu.h"
#include "lib/spinlock.h"
#include "lib/x86/cpu.h"

#ifndef VOLLEY_HOST
static inline bool context_is_nmi(void)
{
    return this_cpu(percpu_head.nmi_depth) != 0;
}
static inline bool context_is_irq(void)
{
    return this_cpu(percpu_head.irq_depth) != 0;
}
static inline void preempt_disable(void)
{
    this_cpu(percpu_head.preempt_depth)++;
    __asm__ volatile("" ::: "memory");
}
static inline void preempt_enable(void)
{
    __asm__ volatile("" ::: "memory");
    this_cpu(percpu_head.preempt_depth)--;
}
#else
#ifdef VOLLEY_SIM
bool context_is_nmi(void);
bool context_is_irq(void);
#else
static inline bool context_is_nmi(void)
{
    return false;
}
static inline bool context_is_irq(void)
{
    return false;
}
#endif
static inline void preempt_disable(void) {}
static inline void preempt_enable(void) {}
#endif

/* Interrupts on, and no open user-access section (STAC sets AC), in one look at RFLAGS. Where SMAP is not used, AC means nothing: it
 * is whatever ring 3 had set when it faulted. */
static ALWAYS_INLINE bool context_flags_allow_waiting(void)
{
#ifdef VOLLEY_HOST
    return irq_enabled();
#else
    return (rflags_read() & (features.smap ? RFLAGS_IF | RFLAGS_AC : RFLAGS_IF)) == RFLAGS_IF;
#endif
}

/* A CPU that waits for another must be able to answer that other one: two that shoot at each other with interrupts off
 * would wait for ever. And a wait may be long: between STAC and CLAC, SMAP would be off all that time. */
#define ASSERT_MAY_WAIT()                                                                                    \
    do {                                                                                                     \
        ASSERT(                                                                                              \
            context_flags_allow_waiting() && !context_is_irq() && !context_is_nmi(),                         \
            "only a thread with interrupts on, and no open user-access section, may wait for another CPU");  \
        DEBUG_ASSERT(lock_order_may_wait(), "who holds a lock does not wait for another CPU");               \
    } while (0)
