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

/* Debug builds check the order of locks (kernel/lock_order.c). `tried`: nobody waits for it; `waits`: its holder may wait for
 * other CPUs. */
#if defined(VOLLEY_DEBUG) && !defined(VOLLEY_HOST)
void lock_order_take(const spinlock_t *l, bool tried, bool waits);
void lock_order_give(const spinlock_t *l);
bool lock_order_may_wait(void); /* the running CPU holds no lock, but such */
#else
static inline void lock_order_take(const spinlock_t *l, bool tried, bool waits)
{
    (void)l, (void)tried, (void)waits;
}
static inline void lock_order_give(const spinlock_t *l)
{
    (void)l;
}
static inline bool lock_order_may_wait(void)
{
    return true;
}
#endif

static ALWAYS_INLINE void spin_lock_unchecked(spinlock_t *l)
{
    u32 ticket = atomic_fetch_add(&l->next, 1);
    /* orders: the critical section after the previous owner's; pairs with: lib/spinlock.h:spin_unlock (release);
     * else: we could read what the previous owner was still writing. */
    while (atomic_load_acquire(&l->owner) != ticket)
        cpu_pause();
}

static ALWAYS_INLINE void spin_lock(spinlock_t *l)
{
    lock_order_take(l, false, false);
    spin_lock_unchecked(l);
}

/* For the one kind of lock whose holder may wait for other CPUs: who waits for it keeps interrupts on, and takes no other under it that
 * its holder needs. */
static ALWAYS_INLINE void spin_lock_to_wait(spinlock_t *l)
{
    lock_order_take(l, false, true);
    spin_lock_unchecked(l);
}

static ALWAYS_INLINE bool spin_trylock(spinlock_t *l)
{
    /* orders: the critical section after the previous owner's; pairs with: lib/spinlock.h:spin_unlock (release);
     * else: we could read what the previous owner was still writing. */
    u32 owner = atomic_load_acquire(&l->owner);
    u32 expected = owner;
    if (!atomic_cmpxchg(&l->next, &expected, owner + 1))
        return false;
    lock_order_take(l, true, false);
    return true;
}

static ALWAYS_INLINE void spin_unlock(spinlock_t *l)
{
    lock_order_give(l);
    /* orders: the critical section before the hand-over; pairs with: lib/spinlock.h:spin_lock (acquire);
     * else: the next owner could miss our last stores. */
    atomic_store_release(&l->owner, l->owner + 1);
}

static ALWAYS_INLINE bool spin_lock_irqsave(spinlock_t *l)
{
    bool was_on = irq_save();
    spin_lock(l);
    return was_on;
}

static ALWAYS_INLINE void spin_unlock_irqrestore(spinlock_t *l, bool was_on)
{
    spin_unlock(l);
    irq_restore(was_on);
}
