/* Every system call with bad arguments: each has to come back with an error that says what is wrong, and nothing else may happen. What
 * ring 3 tries without the kernel's help is in user/intruder.c, how much it can take in user/hog.c, what it may see of what is gone in
 * user/stale.c. */
#include "user/lib/check.h"
#include "user/lib/print.h"
#include "user/lib/start.h"
#include "user/lib/string.h"
#include "user/lib/thread.h"
#include "user/lib/workload.h"

/* Addresses that are nobody's of ring 3: the last two are in reach, but nothing is there. */
static const u64 bad_address[] = {
    0xffffffff80100000,                     /* the kernel's text */
    0xffffffff80000000,                     /* the first address of its image */
    0xffff800000000000,                     /* its map of all memory */
    0xffff800000100000,                     /* its text again, there */
    0xffffc00000000000,                     /* its devices */
    0xffffc08000000000,                     /* its ranges that come and go */
    0xfffffffffffffff8,                     /* a few bytes from there wrap around */
    0xffffffffffffffff, 0x0000800000000000, /* the first that is not canonical */
    0x00007ffffffffff8,                     /* from the user half into what is not canonical */
    0x00007ffffffff000,                     /* the page that is never mapped */
    0x7fffffffffffffff, 0x8000000000000000, 0x0000000000000008, /* a null pointer to a structure */
    0x00007fffffffeff8, /* in the last page that could be mapped, up to its end */
};

/* A page with nothing behind it, and a page that is read-only. */
static u64 edge, readonly;

static bool is_error(s64 result, s64 a, s64 b)
{
    return result == -a || result == -b;
}

/* Calls that read or write memory of ring 3: {number, arguments, which of them is the address}. */
static void pointers(void)
{
    static const struct {
        const char *name;
        u64 number, arg[3];
        u32 which;
        bool writes;
    } calls[] = {
        {"log", SYS_LOG, {0, 16, 0}, 0, false},
        {"clock", SYS_CLOCK, {0}, 0, true},
        {"cpus", SYS_CPUS, {0}, 1, true},
        {"stats", SYS_STATS, {0}, 0, true},
        {"policy", SYS_POLICY, {0, 16, 0}, 0, false},
    };
    for (u32 i = 0; i < ARRAY_SIZE(calls); i++) {
        for (u32 j = 0; j < ARRAY_SIZE(bad_address); j++) {
            u64 a[3] = {calls[i].arg[0], calls[i].arg[1], calls[i].arg[2]};
            a[calls[i].which] = bad_address[j];
            s64 e = sys_call3(calls[i].number, a[0], a[1], a[2]);
            check(e == -SYS_ERR_FAULT, "%s at %llx: %lld (%s), not a fault", calls[i].name,
                  ULL(bad_address[j]), (long long)e, sys_error_name(e));
        }
        u64 a[3] = {calls[i].arg[0], calls[i].arg[1], calls[i].arg[2]};
        a[calls[i].which] = edge + SYS_PAGE - 8;
        s64 e = sys_call3(calls[i].number, a[0], a[1], a[2]);
        check(e == -SYS_ERR_FAULT, "%s across the end of a page with nothing behind it: %s", calls[i].name,
              sys_error_name(e));
        if (!calls[i].writes)
            continue;
        a[calls[i].which] = readonly;
        e = sys_call3(calls[i].number, a[0], a[1], a[2]);
        check(e == -SYS_ERR_FAULT, "%s into a read-only page: %s", calls[i].name, sys_error_name(e));
    }
    for (u64 i = 0; i < SYS_PAGE / 8; i++)
        check(((u64 *)readonly)[i] == 0, "the kernel has written to a read-only page, at byte %llu",
              ULL(i * 8));
}

/* Ranges: {va, bytes}, and what is wrong with them. The kernel may say "invalid" or "out of range" of what is both. */
static const struct {
    u64 va, bytes;
} bad_range[] = {
    {0x200000000001, SYS_PAGE},           /* not at a page */
    {0x200000000000, SYS_PAGE - 1},       /* not whole pages */
    {0x200000000000, 0},                  /* nothing */
    {0x00007ffffffff000, SYS_PAGE},       /* the page that is never mapped */
    {0x00007fffffffe000, 2 * SYS_PAGE},   /* into it */
    {0x0000800000000000, SYS_PAGE},       /* not canonical */
    {0xffff800000000000, SYS_PAGE},       /* the kernel's */
    {0xffffffff80100000, SYS_PAGE},       /* its text */
    {0xfffffffffffff000, SYS_PAGE},       /* to the very end */
    {0xfffffffffffff000, 2 * SYS_PAGE},   /* around it */
    {0x200000000000, 0xfffffffffffff000}, /* wraps to below its start */
    {0x200000000000, 0x8000000000000000}, /* half of everything */
    {0x0000000000001000, 0xffffffffffffe000},
};

static void ranges(void)
{
    static u8 bits[16];
    for (u32 i = 0; i < ARRAY_SIZE(bad_range); i++) {
        u64 va = bad_range[i].va, bytes = bad_range[i].bytes;
        const struct {
            const char *name;
            s64 result;
        } tried[] = {
            {"map", sys_map(va, bytes, SYS_MAP_WRITE | SYS_MAP_FIXED)},
            {"unmap", sys_unmap(va, bytes)},
            {"protect", sys_protect(va, bytes, SYS_MAP_READ)},
            {"discard", sys_discard(va, bytes)},
            {"remap from", sys_remap(va, bytes, 0x300000000000)},
            {"harvest", sys_harvest(va, bytes, bits)},
        };
        for (u32 j = 0; j < ARRAY_SIZE(tried); j++)
            check(is_error(tried[j].result, SYS_ERR_INVAL, SYS_ERR_RANGE),
                  "%s of %llx, %llx bytes: %lld (%s)", tried[j].name, ULL(va), ULL(bytes),
                  (long long)tried[j].result, sys_error_name(tried[j].result));
        if (bytes == SYS_PAGE) {
            s64 e = sys_remap(edge, SYS_PAGE, va);
            check(is_error(e, SYS_ERR_INVAL, SYS_ERR_RANGE), "remap to %llx: %lld (%s)", ULL(va),
                  (long long)e, sys_error_name(e));
        }
    }
    s64 e = sys_map(0, SYS_PAGE, SYS_MAP_WRITE | SYS_MAP_FIXED);
    check(e == -SYS_ERR_RANGE, "mapping page 0: %lld (%s)", (long long)e, sys_error_name(e));
    e = sys_map(0, 0x7ffffffff000, SYS_MAP_WRITE | SYS_MAP_NOW);
    check(e < 0, "all of the user half at once was mapped");
    e = sys_map(edge, SYS_PAGE, SYS_MAP_WRITE | SYS_MAP_FIXED);
    check(e == -SYS_ERR_EXIST, "mapping what is mapped: %lld (%s)", (long long)e, sys_error_name(e));
    e = sys_harvest(edge, SYS_PAGE, (u8 *)0xffffffff80100000);
    check(e == -SYS_ERR_FAULT, "harvest to the kernel's text: %s", sys_error_name(e));
    e = sys_protect(0x400000000000, SYS_PAGE, SYS_MAP_WRITE);
    check(e == -SYS_ERR_ABSENT, "new rights where no region is: %s", sys_error_name(e));
}

static void flags(void)
{
    u64 wx = SYS_MAP_WRITE | SYS_MAP_EXEC;
    s64 e = sys_map(0, SYS_PAGE, wx);
    check(e == -SYS_ERR_INVAL, "a page that is writable and executable: %s", sys_error_name(e));
    e = sys_protect(edge, SYS_PAGE, wx);
    check(e == -SYS_ERR_INVAL, "making a page writable and executable: %s", sys_error_name(e));
    for (u32 bit = 5; bit < 64; bit++) {
        e = sys_map(0, SYS_PAGE, 1ull << bit);
        check(e == -SYS_ERR_INVAL, "mapping with flag %u: %s", bit, sys_error_name(e));
    }
    for (u32 bit = 2; bit < 64; bit++) {
        e = sys_protect(edge, SYS_PAGE, 1ull << bit);
        check(e == -SYS_ERR_INVAL, "rights with flag %u: %s", bit, sys_error_name(e));
    }
    e = sys_map(0x200000000000, SYS_PAGE, SYS_MAP_WRITE);
    check(e == -SYS_ERR_INVAL, "a place without the flag for it: %s", sys_error_name(e));
    e = sys_map(0, SYS_PAGE, SYS_MAP_WRITE | SYS_MAP_LARGE);
    check(e == -SYS_ERR_INVAL, "a 2 MiB page of 4 KiB: %s", sys_error_name(e));
}

static s64 just_end(u64 status)
{
    return (s64)status;
}

static void numbers(void)
{
    static const u64 bad[] = {SYS_CALLS,  SYS_CALLS + 1,           255,        256,  0xffff, 1ull << 31,
                              1ull << 32, (1ull << 32) | SYS_NULL, 1ull << 63, ~0ull};
    for (u32 i = 0; i < ARRAY_SIZE(bad); i++) {
        s64 e = sys_raw(bad[i], 1, 2, 3, 4, 5, 6);
        check(e == -SYS_ERR_NOSYS, "call %llx: %lld (%s)", ULL(bad[i]), (long long)e, sys_error_name(e));
    }
    s64 cpus = sys_cpus(0, NULL), e = sys_cpus((u64)cpus, NULL);
    check(cpus > 0 && e == -SYS_ERR_ABSENT, "a CPU that does not exist: %lld (%s)", (long long)e,
          sys_error_name(e));
    e = sys_thread_move(0, (u64)cpus);
    check(e == -SYS_ERR_ABSENT, "moving there: %lld (%s)", (long long)e, sys_error_name(e));
    e = sys_thread_move(0, 1ull << 32);
    check(e == -SYS_ERR_ABSENT, "moving to CPU 0 with a bit above: %lld (%s)", (long long)e,
          sys_error_name(e));
    e = sys_thread_sleep(~0ull - 1);
    check(e == -SYS_ERR_RANGE, "sleeping for 584 years: %s", sys_error_name(e));
    struct sys_message m = {0};
    e = sys_receive(~0ull - 1, &m);
    check(e == -SYS_ERR_RANGE, "waiting for 584 years: %s", sys_error_name(e));
    e = sys_receive(0, &m);
    check(e == -SYS_ERR_TIMEOUT, "a message where none is: %s", sys_error_name(e));
    e = sys_log("x", SYS_LOG_MAX + 1);
    check(e == -SYS_ERR_RANGE, "a line of %u bytes: %s", SYS_LOG_MAX + 1, sys_error_name(e));
    e = sys_log("x", ~0ull);
    check(e == -SYS_ERR_RANGE, "a line of all there is: %s", sys_error_name(e));
    e = sys_policy("no such policy", 14);
    check(e == -SYS_ERR_ABSENT, "a policy that does not exist: %s", sys_error_name(e));
    e = sys_policy("x", ~0ull);
    check(e == -SYS_ERR_ABSENT, "a policy with an endless name: %s", sys_error_name(e));
}

static void threads(void)
{
    static const u64 bad_start[] = {0xffffffff80100000, 0xffff800000000000, 0x0000800000000000,
                                    0x00007ffffffff000, ~0ull};
    for (u32 i = 0; i < ARRAY_SIZE(bad_start); i++) {
        s64 e = sys_thread_create(bad_start[i], edge + SYS_PAGE, 0, SYS_ANY_CPU);
        check(e == -SYS_ERR_RANGE, "a thread that begins at %llx: %s", ULL(bad_start[i]), sys_error_name(e));
        e = sys_process_clone(bad_start[i], edge + SYS_PAGE, 0, SYS_ANY_CPU);
        check(e == -SYS_ERR_RANGE, "a copy that begins at %llx: %s", ULL(bad_start[i]), sys_error_name(e));
    }
    u64 here = (u64)just_end;
    s64 e = sys_thread_create(here, 0xffffffff80100000, 0, SYS_ANY_CPU);
    check(e == -SYS_ERR_RANGE, "a stack in the kernel: %s", sys_error_name(e));
    e = sys_thread_create(here, edge + 8, 0, SYS_ANY_CPU);
    check(e == -SYS_ERR_INVAL, "a stack at an odd place: %s", sys_error_name(e));
    e = sys_thread_create(here, edge + SYS_PAGE, 0, 1ull << 40);
    check(e == -SYS_ERR_ABSENT, "a thread on no CPU: %s", sys_error_name(e));
}

static void handles(void)
{
    struct thread gone;
    u64 self = sys_thread_self(NULL);
    s64 status = 0, e = thread_create(&gone, just_end, 7, SYS_ANY_CPU);
    if (!check(e == 0, "no thread: %s", sys_error_name(e)))
        return;
    e = sys_thread_join(gone.handle, (s64 *)0xffffffff80100000);
    check(e == -SYS_ERR_FAULT, "a status to the kernel's text: %s", sys_error_name(e));
    e = thread_join(&gone, &status);
    check(e == 0 && status == 7, "joining: %s, status %lld", sys_error_name(e), (long long)status);
    e = sys_thread_join(self, &status);
    check(e == -SYS_ERR_INVAL, "joining oneself: %s", sys_error_name(e));

    const u64 bad[] = {0,          gone.handle, self | 1ull << 32, self ^ 0x10000, 0xffffffff,
                       0xffff0000, ~0ull,       1ull << 63};
    for (u32 i = 0; i < ARRAY_SIZE(bad); i++) {
        struct sys_message m = {.thread = bad[i]};
        const struct {
            const char *name;
            s64 result;
        } tried[] = {
            {"send to", sys_send(&m)},
            {"reply to", sys_reply(&m)},
            {"call of", sys_call(&m)},
            {"join of", sys_thread_join(bad[i], &status)},
            {"move of", bad[i] ? sys_thread_move(bad[i], 0) : -SYS_ERR_ABSENT}, /* 0 is oneself there */
        };
        for (u32 j = 0; j < ARRAY_SIZE(tried); j++)
            check(is_error(tried[j].result, SYS_ERR_ABSENT, SYS_ERR_PERM), "%s thread %llx: %lld (%s)",
                  tried[j].name, ULL(bad[i]), (long long)tried[j].result, sys_error_name(tried[j].result));
    }
    struct sys_message m = {.thread = self};
    e = sys_reply(&m);
    check(e == -SYS_ERR_ABSENT, "a reply that nobody waits for: %s", sys_error_name(e));
}

/* Anything in any register: whatever comes back, it comes back, and what must stay stays. Calls that change this program's memory,
 * end it or wait are left out: there random numbers could do what they may. */
static void random_arguments(u64 rounds)
{
    static const u64 number[] = {SYS_NULL,    SYS_LOG,         SYS_CLOCK,       SYS_CPUS,
                                 SYS_HARVEST, SYS_THREAD_SELF, SYS_THREAD_JOIN, SYS_REPLY,
                                 SYS_SEND,    SYS_STATS,       SYS_POLICY,      SYS_CALLS};
    u64 state = 88172645463325252ull; /* Marsaglia's xorshift64 and its seed */
    for (u64 i = 0; i < rounds; i++) {
        u64 v[6];
        for (u32 j = 0; j < ARRAY_SIZE(v); j++) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            v[j] = state % 3 ? state | 1ull << 63
                             : bad_address[state % ARRAY_SIZE(bad_address)]; /* never ours by chance */
        }
        sys_raw(number[i % ARRAY_SIZE(number)], v[0], v[1], v[2], v[3], v[4], v[5]);
    }
    struct sys_clock clock = {0};
    s64 e = sys_clock(&clock);
    check(e == 0 && clock.ns && clock.tsc_hz, "after all that the clock does not work: %s",
          sys_error_name(e));
}

/* A page fault with every flag set that ring 3 can set (AC: where SMAP is off, nothing clears it in the kernel). */
static void fault_with_flags(void)
{
    s64 at = sys_map(0, SYS_PAGE, SYS_MAP_WRITE);
    if (!check(at > 0, "no page: %s", sys_error_name(at)))
        return;
    u64 flags;
    __asm__ volatile("pushfq\n\t"
                     "pop %0\n\t"
                     "mov %0, %%rcx\n\t"
                     "or $0x44400, %%rcx\n\t" /* AC, NT, DF */
                     "push %%rcx\n\t"
                     "popfq\n\t"
                     "movb $1, (%1)\n\t"
                     "push %0\n\t"
                     "popfq"
                     : "=&r"(flags)
                     : "r"(at)
                     : "rcx", "memory", "cc");
    check(*(volatile u8 *)at == 1, "what was written is not there");
    sys_unmap((u64)at, SYS_PAGE);
}

s64 program(u64 arg)
{
    struct workload *w = workload_of(arg);
    check_begin(w);
    s64 at = sys_map(0, 3 * SYS_PAGE, SYS_MAP_WRITE);
    if (!check(at > 0, "no pages: %s", sys_error_name(at)))
        return check_end();
    edge = (u64)at;
    memset((void *)edge, 'x', SYS_PAGE);
    sys_unmap(edge + SYS_PAGE, SYS_PAGE);
    readonly = edge + 2 * SYS_PAGE;
    s64 e = sys_protect(readonly, SYS_PAGE, SYS_MAP_READ);
    check(e == 0, "read-only: %s", sys_error_name(e));

    fault_with_flags();
    pointers();
    ranges();
    flags();
    numbers();
    threads();
    handles();
    random_arguments(workload_count(w, arg, 5000));
    return check_end();
}
