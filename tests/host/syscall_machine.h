/* A machine for system calls: the kernel's own dispatch, checks, processes, mailboxes and messages between CPUs, on the frames, tables and
 * TLBs of tests/host/region_machine.h. What is played here is the scheduler and ring 3.
 *
 * One host thread plays all. A call runs to its end, or until it waits: then `machine_step` is asked to make other threads' calls, inside
 * the waiting one, until it has been woken; if there are none left, the waiting thread is killed, as process_kill would. */
#pragma once

#include "kernel/mailbox.h"
#include "kernel/process_internal.h"
#include "kernel/syscall.h"
#include "kernel/thread_internal.h"
#include "tests/host/region_machine.h"

#define MACHINE_THREADS 256u

/* The threads that have begun and not ended, in no order. */
extern struct thread *machine_thread[MACHINE_THREADS];
extern u32 machine_threads;
/* Makes some thread's call by machine_call; false: there is nothing more to do. */
extern bool (*machine_step)(void);
/* Calls within calls that wait. */
extern u32 machine_depth;

/* Once for a program. */
void syscall_machine_start(void);
/* A process with some memory of its own and one thread, on CPU 0. NULL: no memory. */
struct process *syscall_machine_process(void);
/* By t, which neither waits nor has ended: a system call with these registers. False: t has ended; else f has what ring 3 gets. */
bool machine_call(struct thread *t, struct trap_frame *f);
/* Every thread ends, as if killed. */
void machine_end_all(void);
/* Ring 3 looks at one byte of its memory, as a copy of the kernel does. False: it may not. */
bool machine_user_byte(struct thread *t, vaddr_t va, bool write);
