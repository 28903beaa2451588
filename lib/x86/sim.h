/* What accesses to shared memory become on the simulated machine of tests/sim/: calls, each with the name of the function
 * that it stands in, because the machine decides what another CPU sees and when. Included by lib/atomic.h and its like only. */
#pragma once

#include "lib/types.h"

enum sim_rmw { SIM_XCHG, SIM_ADD, SIM_SUB, SIM_OR, SIM_AND };

/* size: 1, 2, 4 or 8 bytes, naturally aligned. A store goes into the store buffer; a read-modify-write is LOCKed. */
u64 sim_load(const volatile void *p, u32 size, const char *where);
void sim_store(volatile void *p, u32 size, u64 v, const char *where);
u64 sim_rmw(enum sim_rmw op, volatile void *p, u32 size, u64 v, const char *where);
/* locked: drains the store buffer; else the store, if there is one, goes into it. */
bool sim_cmpxchg(volatile void *p, void *old, u32 size, u64 v, bool locked, const char *where);
void sim_fence(const char *where);

#define SIM_TYPED(p, call)         ((__typeof__(*(p)))(call))
#define atomic_load_relaxed(p)     SIM_TYPED(p, sim_load((p), sizeof(*(p)), __func__))
#define atomic_load_acquire(p)     atomic_load_relaxed(p)
#define atomic_store_relaxed(p, v) sim_store((p), sizeof(*(p)), (u64)(v), __func__)
#define atomic_store_release(p, v) atomic_store_relaxed(p, v)
#define atomic_xchg(p, v)          SIM_TYPED(p, sim_rmw(SIM_XCHG, (p), sizeof(*(p)), (u64)(v), __func__))
#define atomic_fetch_add(p, v)     SIM_TYPED(p, sim_rmw(SIM_ADD, (p), sizeof(*(p)), (u64)(v), __func__))
#define atomic_fetch_sub(p, v)     SIM_TYPED(p, sim_rmw(SIM_SUB, (p), sizeof(*(p)), (u64)(v), __func__))
#define atomic_fetch_or(p, v)      SIM_TYPED(p, sim_rmw(SIM_OR, (p), sizeof(*(p)), (u64)(v), __func__))
#define atomic_fetch_and(p, v)     SIM_TYPED(p, sim_rmw(SIM_AND, (p), sizeof(*(p)), (u64)(v), __func__))
#define atomic_cmpxchg(p, old, v)  sim_cmpxchg((p), (old), sizeof(*(p)), (u64)(v), true, __func__)
