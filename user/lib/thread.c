#include "user/lib/thread.h"

/* user/lib/start.asm */
extern const char thread_entry[];
NORETURN void thread_begin(u64 arg, s64 (*fn)(u64 arg));

NORETURN void thread_begin(u64 arg, s64 (*fn)(u64 arg))
{
    sys_thread_exit(fn(arg));
}

static s64 begin(u64 call, struct thread *t, s64 (*fn)(u64 arg), u64 arg, u64 cpu)
{
    s64 stack = sys_map(0, THREAD_STACK_BYTES, SYS_MAP_WRITE);
    if (stack < 0)
        return stack;
    u64 *top = (u64 *)((u64)stack + THREAD_STACK_BYTES) - 2; /* keeps the alignment of 16 */
    top[0] = (u64)fn;
    s64 handle = sys_call4(call, (u64)thread_entry, (u64)top, arg, cpu);
    if (handle < 0) {
        sys_unmap((u64)stack, THREAD_STACK_BYTES);
        return handle;
    }
    *t = (struct thread){(u64)handle, (u64)stack};
    return 0;
}

s64 thread_create(struct thread *t, s64 (*fn)(u64 arg), u64 arg, u64 cpu)
{
    return begin(SYS_THREAD_CREATE, t, fn, arg, cpu);
}

s64 thread_clone(struct thread *t, s64 (*fn)(u64 arg), u64 arg, u64 cpu)
{
    return begin(SYS_PROCESS_CLONE, t, fn, arg, cpu);
}

s64 thread_join(struct thread *t, s64 *status)
{
    s64 result = sys_thread_join(t->handle, status);
    if (result == 0)
        result = sys_unmap(t->stack, THREAD_STACK_BYTES);
    return result;
}
