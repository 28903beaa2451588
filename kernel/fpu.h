/* The registers that the kernel never uses: x87, SSE, AVX. Ring 3's alone. */
#pragma once

#include "kernel/thread.h"

/* prev has run for now, next is to run. Interrupts off. */
static inline void fpu_switch(struct thread *prev, struct thread *next)
{
    (void)prev, (void)next;
}
