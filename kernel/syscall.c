/* From the entry path to the function of a call. */
#include "kernel/syscall.h"

#include "lib/assert.h"
#include "lib/wait.h"
#include "mm/shootdown.h"
#include "smp/cpus.h"

static syscall_fn *const calls[SYS_CALLS] = {
    [SYS_NULL] = sys_null,
    [SYS_LOG] = sys_log,
    [SYS_CLOCK] = sys_clock,
    [SYS_CPUS] = sys_cpus,
    [SYS_MAP] = sys_map,
    [SYS_UNMAP] = sys_unmap,
    [SYS_PROTECT] = sys_protect,
    [SYS_REMAP] = sys_remap,
    [SYS_DISCARD] = sys_discard,
    [SYS_HARVEST] = sys_harvest,
    [SYS_THREAD_CREATE] = sys_thread_create,
    [SYS_THREAD_EXIT] = sys_thread_exit,
    [SYS_THREAD_YIELD] = sys_thread_yield,
    [SYS_THREAD_SLEEP] = sys_thread_sleep,
    [SYS_THREAD_MOVE] = sys_thread_move,
    [SYS_THREAD_JOIN] = sys_thread_join,
    [SYS_THREAD_SELF] = sys_thread_self,
    [SYS_PROCESS_CLONE] = sys_process_clone,
    [SYS_PROCESS_EXIT] = sys_process_exit,
    [SYS_SEND] = sys_send,
    [SYS_RECEIVE] = sys_receive,
    [SYS_CALL] = sys_call,
    [SYS_REPLY] = sys_reply,
    [SYS_POLICY] = sys_policy,
    [SYS_STATS] = sys_stats,
};
_Static_assert(SYS_CALLS == SYS_STATS + 1, "a new call needs its line above");

void syscall_dispatch(struct trap_frame *f)
{
    u64 number = f->rax;
    if (unlikely(number >= SYS_CALLS)) {
        f->rax = (u64)-SYS_ERR_NOSYS;
        return;
    }
    shootdown_user_close();
    irq_enable();
    f->rax = (u64)calls[number](f->rdi, f->rsi, f->rdx, f);
    irq_disable();
}

COLD s64 syscall_error(err_t e)
{
    switch (e) {
    case ERR_NOMEM:
        return -SYS_ERR_NOMEM;
    case ERR_INVAL:
    case ERR_MALFORMED:
        return -SYS_ERR_INVAL;
    case ERR_RANGE:
        return -SYS_ERR_RANGE;
    case ERR_EXIST:
        return -SYS_ERR_EXIST;
    case ERR_ABSENT:
        return -SYS_ERR_ABSENT;
    case ERR_FULL:
        return -SYS_ERR_FULL;
    case ERR_TIMEOUT:
        return -SYS_ERR_TIMEOUT;
    case ERR_UNSUPPORTED:
        return -SYS_ERR_UNSUPPORTED;
    case ERR_FAULT:
        return -SYS_ERR_FAULT;
    case ERR_PERM:
        return -SYS_ERR_PERM;
    case ERR_OK:
        break;
    }
    panic("a system call failed with %u, which is no error", (u32)e);
}

bool syscall_deadline(u64 ns, u64 *out)
{
    if (ns == 0 || ns == SYS_FOREVER) {
        *out = ns ? ~0ull : 0;
        return true;
    }
    if (ns > SYSCALL_NS_MAX)
        return false;
    *out = rdtsc() + tsc_from_us((ns + 999) / 1000); /* never early */
    return true;
}

bool syscall_cpu(u64 cpu, cpu_t *out)
{
    *out = cpu == SYS_ANY_CPU ? CPU_NONE : (cpu_t)cpu;
    return cpu == SYS_ANY_CPU || cpu < cpu_count();
}
