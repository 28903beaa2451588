/* Ticket spin lock: fair, so that no CPU starves under thread=single emulation. The holder may not wait for another CPU.
 * A lock that is ever taken in IPI context is taken with spin_lock_irqsave everywhere. */
#pragma once

#include "lib/atomic.h"
#include "lib/x86/cpu.h"

typedef struct {
    u32 next;
    u32 owner;
} spinlock_t;

#define SPINLOCK_INIT                                                                                        \
    {                                                                                                        \
        0, 0                                                                                                 \
    }

static inline void spin_lock(spinlock_t *l)
{
    u32 ticket = atomic_fetch_add(&l->next, 1);
    /* orders: the critical section after the previous owner's; pairs with: lib/spinlock.h:spin_unlock (release);
     * else: we could read what the previous owner was still writing. */
    while (atomic_load_acquire(&l->owner) != ticket)
        cpu_pause();
}

static inline bool spin_trylock(spinlock_t *l)
{
    /* orders: the critical section after the previous owner's; pairs with: lib/spinlock.h:spin_unlock (release);
     * else: we could read what the previous owner was still writing. */
    u32 owner = atomic_load_acquire(&l->owner);
    u32 expected = owner;
    return atomic_cmpxchg(&l->next, &expected, owner + 1);
}

static inline void spin_unlock(spinlock_t *l)
{
    /* orders: the critical section before the hand-over; pairs with: lib/spinlock.h:spin_lock (acquire);
     * else: the next owner could miss our last stores. */
    atomic_store_release(&l->owner, l->owner + 1);
}

static inline bool spin_lock_irqsave(spinlock_t *l)
{
    bool was_on = irq_save();
    spin_lock(l);
    return was_on;
}

static inline void spin_unlock_irqrestore(spinlock_t *l, bool was_on)
{
    spin_unlock(l);
    irq_restore(was_on);
}
