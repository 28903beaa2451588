/* System calls on threads and processes. A handle names a thread of any process; what changes or ends a thread takes those of
 * the caller's own only. */
#include "kernel/process.h"
#include "kernel/syscall.h"

/* Where a new thread may begin. Its first instruction may fault, but RIP and RSP must be addresses of ring 3. */
static err_t check_start(u64 entry, u64 stack, u64 cpu, cpu_t *out)
{
    if (!user_range_ok(entry, 1) || stack > SYS_USER_END)
        return ERR_RANGE;
    if (!IS_ALIGNED(stack, 16)) /* as the ABI for x86-64 has it */
        return ERR_INVAL;
    return syscall_cpu(cpu, out) ? ERR_OK : ERR_ABSENT;
}

s64 sys_thread_create(u64 entry, u64 stack, u64 arg, struct trap_frame *f)
{
    cpu_t cpu;
    thread_handle_t h = 0;
    err_t e = check_start(entry, stack, f->r10, &cpu);
    if (e == ERR_OK)
        e = process_thread_start(thread_self()->process, cpu, entry, stack, arg, &h);
    return e == ERR_OK ? (s64)h : syscall_error(e);
}

s64 sys_process_clone(u64 entry, u64 stack, u64 arg, struct trap_frame *f)
{
    cpu_t cpu;
    thread_handle_t h = 0;
    struct process *copy;
    err_t e = check_start(entry, stack, f->r10, &cpu);
    if (e == ERR_OK)
        e = process_clone(thread_self()->process, &copy);
    if (e != ERR_OK)
        return syscall_error(e);
    e = process_thread_start(copy, cpu, entry, stack, arg, &h);
    process_unref(copy); /* from now on its threads keep it */
    return e == ERR_OK ? (s64)h : syscall_error(e);
}

s64 sys_thread_exit(u64 status, u64 b, u64 c, struct trap_frame *f)
{
    (void)b, (void)c, (void)f;
    process_thread_exit((s64)status);
}

s64 sys_process_exit(u64 status, u64 b, u64 c, struct trap_frame *f)
{
    (void)b, (void)c, (void)f;
    process_exit((s64)status);
}

s64 sys_thread_yield(u64 a, u64 b, u64 c, struct trap_frame *f)
{
    (void)a, (void)b, (void)c, (void)f;
    thread_yield();
    return 0;
}

s64 sys_thread_sleep(u64 ns, u64 b, u64 c, struct trap_frame *f)
{
    (void)b, (void)c, (void)f;
    if (ns > SYSCALL_NS_MAX)
        return -SYS_ERR_RANGE;
    thread_sleep_us((ns + 999) / 1000);
    return 0;
}

s64 sys_thread_self(u64 a, u64 b, u64 c, struct trap_frame *f)
{
    (void)a, (void)b, (void)c;
    f->rdx = cpu_self();
    return thread_self()->handle;
}

/* A thread of the caller's process, held. */
static err_t own_thread(u64 handle, struct thread **out)
{
    struct thread *t = handle >> 32 ? NULL : thread_get((thread_handle_t)handle);
    if (!t)
        return ERR_ABSENT;
    if (t->process != thread_self()->process) {
        thread_put(t);
        return ERR_PERM;
    }
    *out = t;
    return ERR_OK;
}

s64 sys_thread_move(u64 handle, u64 cpu, u64 c, struct trap_frame *f)
{
    cpu_t to;
    struct thread *t;
    (void)c, (void)f;
    if (!syscall_cpu(cpu, &to))
        return -SYS_ERR_ABSENT;
    err_t e = own_thread(handle ? handle : thread_self()->handle, &t);
    if (e != ERR_OK)
        return syscall_error(e);
    if (to != CPU_NONE)
        e = thread_move(t, to);
    if (e == ERR_OK)
        atomic_store_relaxed(&t->pinned, to != CPU_NONE);
    thread_put(t);
    return syscall_result(e);
}

s64 sys_thread_join(u64 handle, u64 out, u64 c, struct trap_frame *f)
{
    s64 status;
    (void)c, (void)f;
    if (out && !user_range_ok(out, sizeof(status)))
        return -SYS_ERR_FAULT; /* before the one answer is lost */
    if (handle >> 32)
        return -SYS_ERR_ABSENT;
    err_t e = process_thread_join((thread_handle_t)handle, &status);
    if (e == ERR_ABSENT) {
        struct thread *t;
        err_t there = own_thread(handle, &t);
        if (there == ERR_PERM)
            e = ERR_PERM;
        /* Joined already, and somebody still refers to it: who was in a call to it. */
        else if (there == ERR_OK)
            thread_put(t);
    } else if (e == ERR_OK && out) {
        e = copy_to_user(out, &status, sizeof(status));
    }
    return syscall_result(e);
}
