/* System calls: the kernel's side of kernel/abi/syscall.h. docs/system-calls.md describes each call.
 *
 * A call runs as a thread, on the kernel stack of the thread of ring 3 that made it, interrupts on. It may trust nothing that it
 * is given: numbers are checked against what they may be, memory of ring 3 is touched by kernel/uaccess.h only, handles are looked up. */
#pragma once

#include "kernel/abi/syscall.h"
#include "kernel/trap.h"
#include "kernel/uaccess.h"

/* Called by kernel/syscall_entry.asm with the registers of ring 3; interrupts off before and after. */
void syscall_dispatch(struct trap_frame *f);

/* RDI, RSI, RDX, and the frame for who takes or returns more. Returns what RAX is to be. */
typedef s64 syscall_fn(u64 a, u64 b, u64 c, struct trap_frame *f);

syscall_fn sys_null, sys_log, sys_clock, sys_cpus, sys_policy, sys_stats;        /* syscall_info.c */
syscall_fn sys_map, sys_unmap, sys_protect, sys_remap, sys_discard, sys_harvest; /* syscall_space.c */
syscall_fn sys_thread_create, sys_thread_exit, sys_thread_yield, sys_thread_sleep, sys_thread_move,
    sys_thread_join, sys_thread_self, sys_process_clone, sys_process_exit; /* syscall_thread.c */
syscall_fn sys_send, sys_receive, sys_call, sys_reply;                     /* syscall_message.c */

COLD s64 syscall_error(err_t e); /* not of ERR_OK */
static ALWAYS_INLINE s64 syscall_result(err_t e)
{
    return likely(e == ERR_OK) ? 0 : syscall_error(e);
}

/* The longest time that a call takes, other than SYS_FOREVER: an hour. Far from where ticks overflow. */
#define SYSCALL_NS_MAX 3600000000000ull
/* TSC deadline `ns` from now: 0 for 0, ~0 for SYS_FOREVER. False: above SYSCALL_NS_MAX. */
bool syscall_deadline(u64 ns, u64 *out) MUST_CHECK;

/* A CPU as ring 3 names it: CPU_NONE for SYS_ANY_CPU. False: no CPU has this index. */
bool syscall_cpu(u64 cpu, cpu_t *out) MUST_CHECK;
