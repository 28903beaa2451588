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
