/* Threads on their way to a CPU: pushed by anyone, taken all at once by that CPU. Lock-free; a thread is on one list at most,
 * which its THREAD_WAKING bit sees to (kernel/thread_table.c). */
#pragma once

#include "kernel/thread.h"
#include "lib/atomic.h"

/* True if the list was empty: then the caller rings the CPU; otherwise whoever made it non-empty does, or has. */
static inline bool wake_list_push(struct thread **list, struct thread *t)
{
    struct thread *first = atomic_load_relaxed(list);
    do
        atomic_store_relaxed(&t->wake_next, first);
    /* W1. orders: the pusher's earlier stores, and wake_next, before the list; pairs with: kernel/wake_list.h:wake_list_take
     * (LOCKed); else: the taker could follow an old link, or run the thread without what it was woken for. */
    while (!atomic_cmpxchg(list, &first, t));
    return !first;
}

/* All of them, in the order in which they were pushed, linked by wake_next; the list is empty then. */
static inline struct thread *wake_list_take(struct thread **list)
{
    struct thread *in_order = NULL;
    if (likely(!atomic_load_relaxed(list)))
        return NULL;
    /* W1, the other side. */
    for (struct thread *t = atomic_xchg(list, NULL), *next; t; t = next) {
        next = atomic_load_relaxed(&t->wake_next);
        atomic_store_relaxed(&t->wake_next, in_order);
        in_order = t;
    }
    return in_order;
}
