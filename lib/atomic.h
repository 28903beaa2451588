/* Every access to memory that another CPU may write, and every access to page-table memory, goes through here.
 *
 * The names say the order. On the host (VOLLEY_HOST) each access first calls SIM_POINT, where the simulated machine
 * may let another CPU run; in the kernel SIM_POINT is nothing. On the simulated machine itself (VOLLEY_SIM, tests/sim/)
 * each access is the machine's, store buffers included. Orders are acquire, release and, for read-modify-write
 * operations, always sequentially consistent, because on x86 they are LOCKed instructions whatever one asks for.
 *
 * The rule for callers: beside every _acquire, _release and fence stand three comment lines, "orders", "pairs with"
 * (file:function) and "else". tools/lint counts those that lack "pairs with". */
#pragma once

#include "lib/types.h"

#ifdef VOLLEY_SIM
#include "lib/x86/sim.h"
#else

#ifdef VOLLEY_HOST
void host_sim_point(const volatile void *p);
#define SIM_POINT(p) host_sim_point(p)
#else
#define SIM_POINT(p) ((void)0)
#endif

#define atomic_load_relaxed(p)     (SIM_POINT(p), __atomic_load_n((p), __ATOMIC_RELAXED))
#define atomic_load_acquire(p)     (SIM_POINT(p), __atomic_load_n((p), __ATOMIC_ACQUIRE))
#define atomic_store_relaxed(p, v) (SIM_POINT(p), __atomic_store_n((p), (v), __ATOMIC_RELAXED))
#define atomic_store_release(p, v) (SIM_POINT(p), __atomic_store_n((p), (v), __ATOMIC_RELEASE))
#define atomic_xchg(p, v)          (SIM_POINT(p), __atomic_exchange_n((p), (v), __ATOMIC_SEQ_CST))
#define atomic_fetch_add(p, v)     (SIM_POINT(p), __atomic_fetch_add((p), (v), __ATOMIC_SEQ_CST))
#define atomic_fetch_sub(p, v)     (SIM_POINT(p), __atomic_fetch_sub((p), (v), __ATOMIC_SEQ_CST))
#define atomic_fetch_or(p, v)      (SIM_POINT(p), __atomic_fetch_or((p), (v), __ATOMIC_SEQ_CST))
#define atomic_fetch_and(p, v)     (SIM_POINT(p), __atomic_fetch_and((p), (v), __ATOMIC_SEQ_CST))
/* True if *p was *old and is now v; else *old is what was found. */
#define atomic_cmpxchg(p, old, v)                                                                            \
    (SIM_POINT(p), __atomic_compare_exchange_n((p), (old), (v), false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
#endif /* VOLLEY_SIM */

/* Keeps the compiler, not the CPU, from moving memory accesses across it. */
#define compiler_barrier() __asm__ volatile("" ::: "memory")
