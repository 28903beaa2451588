/* Read-modify-write that is atomic against interrupts and NMIs of this CPU, and against nothing else: one instruction
 * without LOCK. For memory that only the code of one CPU writes. Much cheaper than turning interrupts off and on. */
#pragma once

#include "lib/atomic.h"
#include "lib/types.h"

/* True if *p was `old` and is now `to`. Orders nothing against other CPUs. Any context. SDM volume 2, CMPXCHG. */
static ALWAYS_INLINE bool local_cmpxchg_u32(u32 *p, u32 old, u32 to)
{
#ifdef VOLLEY_SIM
    return sim_cmpxchg(p, &old, sizeof(*p), to, false, __func__);
#elif defined(VOLLEY_HOST)
    SIM_POINT(p);
    return __atomic_compare_exchange_n(p, &old, to, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
#else
    bool done;
    __asm__ volatile("cmpxchgl %3, %1" : "=@ccz"(done), "+m"(*p), "+a"(old) : "r"(to) : "memory");
    return done;
#endif
}

/* Adds one to a word that only this CPU writes and others read: one instruction. Any context. */
static ALWAYS_INLINE void local_inc_release_u32(u32 *p)
{
#ifdef VOLLEY_HOST
    /* As below. pairs with: the acquire that the caller names. */
    atomic_store_release(p, atomic_load_relaxed(p) + 1);
#else
    /* A plain ADD stores once, after all that is before it in program order (x86-TSO), and the clobber holds the compiler to that. */
    __asm__ volatile("incl %0" : "+m"(*p) : : "memory", "cc");
#endif
}
