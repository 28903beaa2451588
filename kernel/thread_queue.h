/* A run queue: first in, first out, by links inside the threads. Its CPU's alone, interrupts off. */
#pragma once

#include "kernel/thread.h"

struct thread_queue {
    struct thread *first, *last;
};

static ALWAYS_INLINE bool thread_queue_empty(const struct thread_queue *q)
{
    return !q->first;
}

static inline void thread_queue_push(struct thread_queue *q, struct thread *t)
{
    t->queue_next = NULL;
    t->queue_prev = q->last;
    if (q->last)
        q->last->queue_next = t;
    else
        q->first = t;
    q->last = t;
    t->queued = true;
}

static inline void thread_queue_remove(struct thread_queue *q, struct thread *t)
{
    if (t->queue_prev)
        t->queue_prev->queue_next = t->queue_next;
    else
        q->first = t->queue_next;
    if (t->queue_next)
        t->queue_next->queue_prev = t->queue_prev;
    else
        q->last = t->queue_prev;
    t->queued = false;
}

/* NULL: empty. */
static inline struct thread *thread_queue_pop(struct thread_queue *q)
{
    struct thread *t = q->first;
    if (t)
        thread_queue_remove(q, t);
    return t;
}
