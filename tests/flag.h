/* One word between two CPUs of a test: raised once, and waited for. */
#pragma once

#include "lib/atomic.h"
#include "lib/wait.h"

/* False: it was not raised within so many milliseconds (wait_ms). Spins; any context that may spin. */
static inline bool flag_wait(const u32 *flag, u64 limit_ms)
{
    struct wait w = WAIT("another CPU of a test", wait_ms(limit_ms));
    /* orders: what the other CPU did before it raised the flag; pairs with: tests/flag.h:flag_raise (release); else: we would look too
     * early. */
    while (!atomic_load_acquire(flag))
        if (!wait_spin(&w))
            return false;
    return true;
}

static inline void flag_raise(u32 *flag)
{
    /* orders: what we did before; pairs with: tests/flag.h:flag_wait (acquire); else: as there. */
    atomic_store_release(flag, 1);
}
