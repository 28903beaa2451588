/* The system calls as functions: kernel/abi/syscall.h has their numbers and structures, docs/system-calls.md says what each does.
 * What returns s64 returns a value, or a negated enum sys_error. */
#pragma once

#include "kernel/abi/syscall.h"
#include "user/lib/types.h"

/* Any call with anything in its registers: what the tests of bad arguments use. */
static ALWAYS_INLINE s64 sys_raw(u64 number, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
    register u64 r10 __asm__("r10") = d;
    register u64 r8 __asm__("r8") = e;
    register u64 r9 __asm__("r9") = f;
    s64 result;
    __asm__ volatile("syscall"
                     : "=a"(result), "+D"(a), "+S"(b), "+d"(c), "+r"(r10), "+r"(r8), "+r"(r9)
                     : "0"(number)
                     : "rcx", "r11", "r12", "memory");
    return result;
}

/* RDI, RSI, RDX and R10 in; the kernel keeps them, so the compiler may go on using them. */
static ALWAYS_INLINE s64 sys_call4(u64 number, u64 a, u64 b, u64 c, u64 d)
{
    register u64 r10 __asm__("r10") = d;
    s64 result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "0"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
                     : "rcx", "r11", "memory");
    return result;
}
static ALWAYS_INLINE s64 sys_call3(u64 number, u64 a, u64 b, u64 c)
{
    s64 result;
    __asm__ volatile("syscall" : "=a"(result) : "0"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return result;
}

static inline s64 sys_null(void)
{
    return sys_call3(SYS_NULL, 0, 0, 0);
}
static inline s64 sys_log(const char *text, u64 bytes)
{
    return sys_call3(SYS_LOG, (u64)text, bytes, 0);
}
static inline s64 sys_clock(struct sys_clock *out)
{
    return sys_call3(SYS_CLOCK, (u64)out, 0, 0);
}
static inline s64 sys_cpus(u64 cpu, struct sys_cpu *out)
{
    return sys_call3(SYS_CPUS, cpu, (u64)out, 0);
}

static inline s64 sys_map(u64 va, u64 bytes, u64 flags)
{
    return sys_call3(SYS_MAP, va, bytes, flags);
}
static inline s64 sys_unmap(u64 va, u64 bytes)
{
    return sys_call3(SYS_UNMAP, va, bytes, 0);
}
static inline s64 sys_protect(u64 va, u64 bytes, u64 rights)
{
    return sys_call3(SYS_PROTECT, va, bytes, rights);
}
static inline s64 sys_remap(u64 va, u64 bytes, u64 to)
{
    return sys_call3(SYS_REMAP, va, bytes, to);
}
static inline s64 sys_discard(u64 va, u64 bytes)
{
    return sys_call3(SYS_DISCARD, va, bytes, 0);
}
static inline s64 sys_harvest(u64 va, u64 bytes, u8 *out)
{
    return sys_call3(SYS_HARVEST, va, bytes, (u64)out);
}

static inline s64 sys_thread_create(u64 entry, u64 stack, u64 arg, u64 cpu)
{
    return sys_call4(SYS_THREAD_CREATE, entry, stack, arg, cpu);
}
static inline NORETURN void sys_thread_exit(s64 status)
{
    sys_call3(SYS_THREAD_EXIT, (u64)status, 0, 0);
    __builtin_trap();
}
static inline s64 sys_thread_yield(void)
{
    return sys_call3(SYS_THREAD_YIELD, 0, 0, 0);
}
static inline s64 sys_thread_sleep(u64 ns)
{
    return sys_call3(SYS_THREAD_SLEEP, ns, 0, 0);
}
static inline s64 sys_thread_move(u64 handle, u64 cpu)
{
    return sys_call3(SYS_THREAD_MOVE, handle, cpu, 0);
}
static inline s64 sys_thread_join(u64 handle, s64 *status)
{
    return sys_call3(SYS_THREAD_JOIN, handle, (u64)status, 0);
}
/* The running thread's handle; *cpu, if not NULL: where it runs. */
static inline u64 sys_thread_self(u64 *cpu)
{
    u64 result, at;
    __asm__ volatile("syscall" : "=a"(result), "=d"(at) : "0"(SYS_THREAD_SELF) : "rcx", "r11", "memory");
    if (cpu)
        *cpu = at;
    return result;
}
static inline s64 sys_process_clone(u64 entry, u64 stack, u64 arg, u64 cpu)
{
    return sys_call4(SYS_PROCESS_CLONE, entry, stack, arg, cpu);
}
static inline NORETURN void sys_process_exit(s64 status)
{
    sys_call3(SYS_PROCESS_EXIT, (u64)status, 0, 0);
    __builtin_trap();
}

/* Who it is from, or to; and 48 bytes. */
struct sys_message {
    u64 thread;
    u64 word[6];
};

/* All seven registers both ways. */
static ALWAYS_INLINE s64 sys_message_call(u64 number, u64 rdi, struct sys_message *m)
{
    u64 rsi = m->word[0], rdx = m->word[1], third = m->word[2], fourth = m->word[3], fifth = m->word[4];
    u64 sixth = m->word[5];
    register u64 r10 __asm__("r10") = third;
    register u64 r8 __asm__("r8") = fourth;
    register u64 r9 __asm__("r9") = fifth;
    register u64 r12 __asm__("r12") = sixth;
    s64 result;
    __asm__ volatile("syscall"
                     : "=a"(result), "+D"(rdi), "+S"(rsi), "+d"(rdx), "+r"(r10), "+r"(r8), "+r"(r9), "+r"(r12)
                     : "0"(number)
                     : "rcx", "r11", "memory");
    *m = (struct sys_message){rdi, {rsi, rdx, r10, r8, r9, r12}};
    return result;
}
/* Sends m->word to m->thread. */
static inline s64 sys_send(const struct sys_message *m)
{
    struct sys_message copy = *m;
    return sys_message_call(SYS_SEND, m->thread, &copy);
}
static inline s64 sys_reply(const struct sys_message *m)
{
    struct sys_message copy = *m;
    return sys_message_call(SYS_REPLY, m->thread, &copy);
}
/* Waits so long for a message; it is in *m if the result is 0. */
static inline s64 sys_receive(u64 ns, struct sys_message *m)
{
    *m = (struct sys_message){0};
    return sys_message_call(SYS_RECEIVE, ns, m);
}
/* Sends m->word to m->thread and waits for its reply, which is in *m if the result is 0. */
static inline s64 sys_call(struct sys_message *m)
{
    return sys_message_call(SYS_CALL, m->thread, m);
}

static inline s64 sys_policy(const char *name, u64 bytes)
{
    return sys_call3(SYS_POLICY, (u64)name, bytes, 0);
}
static inline s64 sys_stats(struct sys_stats *out)
{
    return sys_call3(SYS_STATS, (u64)out, 0, 0);
}
