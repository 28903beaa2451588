/* Times messages and switches between threads, for the benchmark `messages`: w->op says which (enum workload_mail). A sample is taken
 * where the interval ends: a message's by its receiver, in the first instruction after its system call. */
#include "user/lib/atomic.h"
#include "user/lib/check.h"
#include "user/lib/cpu.h"
#include "user/lib/print.h"
#include "user/lib/start.h"
#include "user/lib/thread.h"
#include "user/lib/workload.h"

#define COUNT_USUAL 500u
#define SETTLE      2000u /* turns: far more than a thread needs to get from its sample back into receive */

enum { KIND_MESSAGE, KIND_END };

static struct workload *w;
static u64 own_sample[WORKLOAD_SAMPLES];
static u64 *sample = own_sample;
static u64 taken;

static void add_sample(u64 ticks)
{
    u64 n = taken;
    if (n < WORKLOAD_SAMPLES)
        sample[n] = ticks;
    /* orders: the sample before its count; pairs with: user/courier.c:wait_taken (acquire); else: the sender could go on, and the
     * kernel read, before it is there. */
    atomic_store_release(&taken, n + 1);
}

static void wait_taken(u64 n)
{
    /* orders: what follows after the sample; pairs with: user/courier.c:add_sample (release); else: see there. */
    while (atomic_load_acquire(&taken) < n)
        cpu_pause();
}

/* The time is in the message: from just before SYSCALL to just behind the receiver's. */
static s64 send_timed(u64 to, u64 kind)
{
    register u64 r10 __asm__("r10") = kind;
    register u64 r8 __asm__("r8") = 0;
    register u64 r9 __asm__("r9") = 0;
    register u64 r12 __asm__("r12") = 0;
    s64 result;
    u64 number = SYS_SEND, rsi, rdx;
    __asm__ volatile("rdtsc\n\tshlq $32, %%rdx\n\torq %%rdx, %%rax\n\tmovq %%rax, %%rsi\n\tmovq %[number], "
                     "%%rax\n\tsyscall"
                     : "=&a"(result), "+D"(to), "=&S"(rsi), "=&d"(rdx), "+r"(r10), "+r"(r8), "+r"(r9),
                       "+r"(r12)
                     : [number] "r"(number)
                     : "rcx", "r11", "memory");
    return result;
}

static s64 receive_timed(u64 *from, u64 *sent, u64 *received, u64 *kind)
{
    register u64 r10 __asm__("r10");
    register u64 r8 __asm__("r8");
    register u64 r9 __asm__("r9");
    register u64 r12 __asm__("r12");
    s64 result;
    u64 rdi = SYS_FOREVER, rsi = 0, low, high;
    __asm__ volatile("syscall\n\tmovq %%rax, %%rcx\n\trdtsc\n\txchgq %%rcx, %%rax"
                     : "=a"(result), "+D"(rdi), "+S"(rsi), "=d"(high), "=c"(low), "=r"(r10), "=r"(r8),
                       "=r"(r9), "=r"(r12)
                     : "0"(SYS_RECEIVE)
                     : "r11", "memory");
    *from = rdi;
    *sent = rsi;
    *received = high << 32 | low;
    *kind = r10;
    return result;
}

/* One-way messages. */
static s64 receiver(u64 arg)
{
    (void)arg;
    for (;;) {
        u64 from, sent, received, kind;
        s64 e = receive_timed(&from, &sent, &received, &kind);
        if (!check(e == 0, "receive: %s", sys_error_name(e)) || kind == KIND_END)
            return 0;
        add_sample(received - sent);
    }
}

static s64 replier(u64 arg)
{
    (void)arg;
    for (;;) {
        struct sys_message m;
        s64 e = sys_receive(SYS_FOREVER, &m);
        if (!check(e == 0, "receive: %s", sys_error_name(e)))
            return 1;
        bool end = m.word[2] == KIND_END;
        e = sys_reply(&m);
        if (!check(e == 0, "reply: %s", sys_error_name(e)) || end)
            return 0;
    }
}

/* Gives the CPU back at once. */
static s64 yielder(u64 arg)
{
    (void)arg;
    while (!atomic_load_relaxed(&taken))
        cpu_pause();
    while (atomic_load_relaxed(&taken) < WORKLOAD_SAMPLES * 2)
        sys_thread_yield();
    return 0;
}

static void settle(u64 i)
{
    for (u64 turns = SETTLE + i % 5; turns; turns--)
        cpu_pause();
}

static void time_sends(u64 to, u64 count)
{
    for (u64 i = 0; i < count; i++) {
        settle(i);
        s64 e = send_timed(to, KIND_MESSAGE);
        if (!check(e == 0, "send %llu: %s", ULL(i), sys_error_name(e)))
            break;
        wait_taken(i + 1);
    }
    s64 e = send_timed(to, KIND_END);
    check(e == 0, "the last send: %s", sys_error_name(e));
}

static void time_calls(u64 to, u64 count)
{
    for (u64 i = 0; i <= count; i++) {
        struct sys_message m = {.thread = to, .word = {i, 0, i == count ? KIND_END : KIND_MESSAGE}};
        settle(i);
        u64 start = rdtsc_ordered();
        s64 e = sys_call(&m);
        u64 ticks = rdtsc_ordered() - start;
        if (!check(e == 0 && m.word[0] == i, "call %llu: %s", ULL(i), sys_error_name(e)))
            return;
        if (i < count)
            add_sample(ticks);
    }
}

static void time_alone(u64 op, u64 count)
{
    for (u64 i = 0; i < count; i++) {
        u64 start = rdtsc_ordered();
        s64 e = op == WORKLOAD_MAIL_NULL ? sys_null() : sys_thread_yield();
        u64 ticks = rdtsc_ordered() - start;
        if (!check(e == 0, "call %llu: %s", ULL(i), sys_error_name(e)))
            return;
        add_sample(ticks);
    }
}

static u64 measure_overhead(void)
{
    u64 least = ~0ull;
    for (u32 i = 0; i < 64; i++) {
        u64 start = rdtsc_ordered(), ticks = rdtsc_ordered() - start;
        least = MIN(least, ticks);
    }
    return least;
}

s64 program(u64 arg)
{
    w = workload_of(arg);
    u64 count = workload_count(w, arg, COUNT_USUAL), op = w ? w->op : WORKLOAD_MAIL_SEND, cpu;
    struct thread other = {0};
    if (w)
        sample = w->sample;
    count = MIN(count, WORKLOAD_SAMPLES);
    check_begin(w);
    sys_thread_self(&cpu);
    bool here = op == WORKLOAD_MAIL_CALL_HERE || op == WORKLOAD_MAIL_YIELD;
    u64 to = here ? cpu : (cpu + 1) % (u64)sys_cpus(0, NULL);
    s64 (*fn)(u64) = op == WORKLOAD_MAIL_SEND ? receiver : op == WORKLOAD_MAIL_YIELD ? yielder : replier;
    if (op != WORKLOAD_MAIL_NULL) {
        s64 e = thread_create(&other, fn, 0, to);
        if (!check(e == 0, "no second thread on CPU %llu: %s", ULL(to), sys_error_name(e)))
            return check_end();
    }
    if (op == WORKLOAD_MAIL_SEND)
        time_sends(other.handle, count);
    else if (op == WORKLOAD_MAIL_NULL || op == WORKLOAD_MAIL_YIELD)
        time_alone(op, count);
    else
        time_calls(other.handle, count);
    u64 n = MIN(taken, count);
    if (op == WORKLOAD_MAIL_YIELD)
        atomic_store_relaxed(&taken, WORKLOAD_SAMPLES * 2);
    if (other.handle)
        check(thread_join(&other, NULL) == 0, "the second thread cannot be joined");
    u64 overhead = measure_overhead();
    if (w) {
        w->samples = n;
        w->overhead = overhead;
        return (s64)w->verdict.failures;
    }
    u64 sum = 0;
    for (u64 i = 0; i < n; i++)
        sum += sample[i];
    say("%llu messages, %llu ticks each", ULL(n), ULL(n ? sum / n : 0));
    return check_end();
}
