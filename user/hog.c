/* Takes all that it can get: regions, threads, copies of itself, mailboxes' room, memory, page tables. Each must end in an error that
 * says what is out, well before the machine is; afterwards everything goes back, and what failed works again. */
#include "user/lib/atomic.h"
#include "user/lib/check.h"
#include "user/lib/cpu.h"
#include "user/lib/print.h"
#include "user/lib/start.h"
#include "user/lib/thread.h"
#include "user/lib/workload.h"

#define AREA     0x300000000000ull /* where nothing else maps */
#define AT_MOST  100000u           /* more of anything than any limit allows */
#define MIB      (1ull << 20)
#define GIB      (1ull << 30)
#define PATIENCE 20000000000ull /* ns; a hang detector */

/* ---- regions: no two touch, so that none can be joined with another ---- */

static void regions(void)
{
    u64 n = 0;
    s64 e = 0;
    for (; n < AT_MOST; n++) {
        e = sys_map(AREA + 2 * n * SYS_PAGE, SYS_PAGE, SYS_MAP_WRITE | SYS_MAP_FIXED);
        if (e < 0)
            break;
    }
    check(n > 16 && n < AT_MOST && e == -SYS_ERR_FULL, "%llu regions, then %s", ULL(n), sys_error_name(e));
    say("%llu regions, then %s", ULL(n), sys_error_name(e));
    e = sys_unmap(AREA, 2 * (n + 1) * SYS_PAGE);
    check(e == 0, "they do not go: %s", sys_error_name(e));
    e = sys_map(AREA, SYS_PAGE, SYS_MAP_WRITE | SYS_MAP_FIXED);
    check(e == (s64)AREA, "afterwards there is no region: %s", sys_error_name(e));
    sys_unmap(AREA, SYS_PAGE);
}

/* ---- threads, all on one stack page that none of them uses: they wait in the kernel ---- */

/* Until a message comes. The stack is shared, so nothing may be kept on it. */
static NORETURN void wait_for_end(void)
{
    __asm__ volatile("1: mov %0, %%eax\n\t"
                     "mov $-1, %%rdi\n\t" /* SYS_FOREVER */
                     "syscall\n\t"
                     "mov %1, %%eax\n\t"
                     "xor %%edi, %%edi\n\t"
                     "syscall\n\t"
                     "ud2" ::"i"(SYS_RECEIVE),
                     "i"(SYS_THREAD_EXIT)
                     : "memory");
    __builtin_unreachable();
}

static u64 handle[AT_MOST / 100];

/* Ends the threads or copies; true if each of them was there. */
static bool end_all(u64 n)
{
    bool all = true;
    for (u64 i = 0; i < n; i++) {
        struct sys_message m = {.thread = handle[i]};
        s64 e = sys_send(&m);
        all = check(e == 0, "number %llu is not there any more: %s", ULL(i), sys_error_name(e)) && all;
    }
    return all;
}

static void threads(u64 stack)
{
    u64 n = 0;
    s64 e = 0;
    for (; n < ARRAY_SIZE(handle); n++) {
        e = sys_thread_create((u64)wait_for_end, stack, 0, SYS_ANY_CPU);
        if (e < 0)
            break;
        handle[n] = (u64)e;
    }
    check(n > 8 && n < ARRAY_SIZE(handle) && e == -SYS_ERR_FULL, "%llu threads, then %s", ULL(n),
          sys_error_name(e));
    say("%llu threads, then %s", ULL(n), sys_error_name(e));
    end_all(n);
    for (u64 i = 0; i < n; i++) {
        s64 status = -1;
        e = sys_thread_join(handle[i], &status);
        check(e == 0 && status == 0, "thread %llu: %s, status %lld", ULL(i), sys_error_name(e),
              (long long)status);
    }
}

/* ---- copies of the process ---- */

static void copies(u64 stack)
{
    u64 n = 0;
    s64 e = 0;
    for (; n < ARRAY_SIZE(handle); n++) {
        e = sys_process_clone((u64)wait_for_end, stack, 0, SYS_ANY_CPU);
        if (e < 0)
            break;
        handle[n] = (u64)e;
    }
    check(n > 2 && n < ARRAY_SIZE(handle) && (e == -SYS_ERR_FULL || e == -SYS_ERR_NOMEM),
          "%llu copies, then %s", ULL(n), sys_error_name(e));
    say("%llu copies, then %s", ULL(n), sys_error_name(e));
    end_all(n);
    /* They are gone a little later than their last words. */

    u64 end = workload_ns() + PATIENCE;
    do {
        e = sys_process_clone((u64)wait_for_end, stack, 0, SYS_ANY_CPU);
        if (e < 0)
            sys_thread_sleep(1000000);
    } while (e < 0 && workload_ns() < end);
    if (check(e > 0, "afterwards there is no copy: %s", sys_error_name(e))) {

        struct sys_message m = {.thread = (u64)e};
        sys_send(&m);
    }
}

/* ---- the room of a mailbox: this thread's own, as nobody takes anything from it ---- */

static void mailbox(void)
{
    u64 n = 0, taken = 0;
    s64 e = 0;
    struct sys_message m = {.thread = sys_thread_self(NULL)};
    for (; n < AT_MOST && e == 0; n += e == 0) {
        m.word[0] = n;
        e = sys_send(&m);
    }
    check(n > 0 && e == -SYS_ERR_FULL, "%llu messages, then %s", ULL(n), sys_error_name(e));
    say("%llu messages in a mailbox, then %s", ULL(n), sys_error_name(e));
    struct sys_message got;
    while ((e = sys_receive(0, &got)) == 0) {
        check(got.word[0] == taken, "message %llu holds %llu", ULL(taken), ULL(got.word[0]));
        taken++;
    }
    check(e == -SYS_ERR_TIMEOUT && taken == n, "%llu messages sent, %llu received, then %s", ULL(n),
          ULL(taken), sys_error_name(e));
}

/* ---- memory ---- */

static void memory(void)
{
    u64 n = 0;
    s64 e = 0;
    for (; n < AT_MOST; n++) {
        e = sys_map(AREA + n * MIB, MIB, SYS_MAP_WRITE | SYS_MAP_FIXED | SYS_MAP_NOW);
        if (e < 0)
            break;
    }
    check(n > 0 && n < AT_MOST && (e == -SYS_ERR_NOMEM || e == -SYS_ERR_FULL), "%llu MiB, then %s", ULL(n),
          sys_error_name(e));
    say("%llu MiB, then %s", ULL(n), sys_error_name(e));
    e = sys_unmap(AREA, (n + 1) * MIB);
    check(e == 0, "it does not go: %s", sys_error_name(e));
}

/* A page here and there: each needs two tables of its own, and there is no error to return. */
static u64 touched;
static void touch_sparsely(u64 regions_of_a_tib)
{
    for (u64 i = 0; i < regions_of_a_tib * 1024; i++) {
        touch_write(AREA + i * GIB, 1);
        atomic_store_relaxed(&touched, i + 1);
    }
}

static void tables(void)
{
    u64 n = 0;
    for (; n < 16; n++)
        if (sys_map(AREA + n * 1024 * GIB, 1024 * GIB, SYS_MAP_WRITE | SYS_MAP_FIXED) < 0)
            break;
    if (!check(n > 0, "there is no large region"))
        return;
    check_faults(touch_sparsely, n, "touching one page in each GiB, without an end");
    say("%llu pages with two page tables each, then the thread ended", ULL(touched));
    s64 e = sys_unmap(AREA, n * 1024 * GIB);
    check(e == 0, "they do not go: %s", sys_error_name(e));
    e = sys_map(AREA, MIB, SYS_MAP_WRITE | SYS_MAP_FIXED | SYS_MAP_NOW);
    check(e == (s64)AREA, "afterwards there is no memory: %s", sys_error_name(e));
    sys_unmap(AREA, MIB);
}

s64 program(u64 arg)
{
    check_begin(workload_of(arg));
    s64 stack = sys_map(0, SYS_PAGE, SYS_MAP_WRITE);
    if (!check(stack > 0, "no page: %s", sys_error_name(stack)))
        return check_end();
    regions();
    threads((u64)stack + SYS_PAGE);
    mailbox();
    memory();
    tables();
    copies((u64)stack + SYS_PAGE);
    return check_end();
}
