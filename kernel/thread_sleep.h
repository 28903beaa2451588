/* The sleep queue of a CPU: threads by deadline, as a pairing heap whose links lie in the threads. Its CPU's alone, interrupts
 * off. Putting in is a comparison; taking out the earliest, or any, is logarithmic in the number of sleepers, amortised, so that a
 * thousand of them cost an interrupt nothing. */
#pragma once

#include "kernel/thread.h"

struct thread_sleepers {
    struct thread *first; /* the earliest; NULL: nobody sleeps */
};

static ALWAYS_INLINE bool thread_is_asleep(const struct thread_sleepers *s, const struct thread *t)
{
    return t->sleep_prev || s->first == t;
}

/* t->deadline is set; t is in no sleep queue. */
void thread_sleepers_add(struct thread_sleepers *s, struct thread *t);
/* t is in this one. */
void thread_sleepers_remove(struct thread_sleepers *s, struct thread *t);
