#include "user/lib/check.h"

#include <stdarg.h>

#include "user/lib/atomic.h"
#include "user/lib/print.h"
#include "user/lib/thread.h"

/* A check in a loop over pages would bury the first failure, the telling one. */
#define SHOWN 8u

static struct workload_verdict own, *at = &own;

void check_begin(struct workload *w)
{
    at = w ? &w->verdict : &own;
}

void check_begin_at(struct workload_verdict *verdict)
{
    at = verdict;
}

bool check(bool ok, const char *format, ...)
{
    atomic_fetch_add(&at->checks, 1);
    if (ok)
        return true;
    u64 earlier = atomic_fetch_add(&at->failures, 1);
    va_list ap;
    va_start(ap, format);
    if (earlier == 0)
        vprint(at->failure, sizeof(at->failure), format, ap);
    if (earlier < SHOWN)
        vsay(format, ap);
    else if (earlier == SHOWN)
        say("more failures follow, counted but not shown");
    va_end(ap);
    return false;
}

s64 check_end(void)
{
    say("%llu checks, %llu failed", ULL(at->checks), ULL(at->failures));
    return (s64)at->failures;
}

struct attempt {
    void (*fn)(u64 arg);
    u64 arg;
};

static s64 try(u64 arg)
{
    const struct attempt *a = (const struct attempt *)arg;
    a->fn(a->arg);
    return 0;
}

bool check_faults(void (*fn)(u64 arg), u64 arg, const char *what)
{
    struct attempt a = {fn, arg};
    struct thread t;
    s64 status = 0, e = thread_create(&t, try, (u64)&a, SYS_ANY_CPU);
    if (!check(e == 0, "no thread to try %s with: %s", what, sys_error_name(e)))
        return false;
    e = thread_join(&t, &status);
    return check(e == 0 && status == SYS_STATUS_FAULT, "%s (%llx) ended with %lld (%s), not with a fault",
                 what, ULL(arg), (long long)status, sys_error_name(e));
}
