/* Threads of the program's own. */
#pragma once

#include "user/lib/sys.h"

#define THREAD_STACK_BYTES (16 * SYS_PAGE)

struct thread {
    u64 handle, stack;
};

/* Starts fn(arg), which ends when it returns, with that as its status, on a CPU or SYS_ANY_CPU, on a stack that is mapped for it.
 * 0 or a negated error; then nothing is left behind. */
s64 thread_create(struct thread *t, s64 (*fn)(u64 arg), u64 arg, u64 cpu);
/* The same in a copy-on-write copy of this process. Nobody can join it, so its stack stays until this process ends. */
s64 thread_clone(struct thread *t, s64 (*fn)(u64 arg), u64 arg, u64 cpu);
/* Waits until it has ended; its status, if that is not NULL. Gives the stack back. */
s64 thread_join(struct thread *t, s64 *status);
