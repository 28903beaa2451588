/* main() of every host test, and weak stand-ins for the machine. */
#include "tests/host/host.h"

#include <stdarg.h>

#include "lib/assert.h"
#include "lib/atomic.h"
#include "lib/cpumask.h"
#include "lib/log.h"
#include "lib/percpu.h"
#include "lib/x86/host.h"

#define WEAK __attribute__((weak))

static struct host_test *tests;
u64 host_checks, host_failures;
static const char *skip_reason;
jmp_buf host_panic_jump;
bool host_panic_expected;
char host_panic_text[256];
__thread cpu_t host_cpu_index;
u64 host_fence_word;
WEAK u32 cpumask_words = 1;

void host_test_register(struct host_test *t)
{
    struct host_test **at = &tests;
    while (*at)
        at = &(*at)->next;
    *at = t;
}

bool host_check(bool ok, const char *expr, const char *file, int line, const char *fmt, ...)
{
    __atomic_fetch_add(&host_checks, 1, __ATOMIC_RELAXED);
    if (ok)
        return true;
    host_check_failed(expr, file, line);
    va_list ap;
    va_start(ap, fmt);
    fputs("    ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    return false;
}

void host_check_failed(const char *expr, const char *file, int line)
{
    __atomic_fetch_add(&host_failures, 1, __ATOMIC_RELAXED);
    fprintf(stderr, "  FAILED %s:%d: %s\n", file, line, expr);
}

void host_skip(const char *why)
{
    skip_reason = why;
}

NORETURN void panic(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(host_panic_text, sizeof(host_panic_text), fmt, ap);
    va_end(ap);
    if (host_panic_expected)
        longjmp(host_panic_jump, 1);
    fprintf(stderr, "unexpected panic: %s\n", host_panic_text);
    abort();
}

NORETURN void assert_failed(const char *expr, const char *file, int line, const char *meaning)
{
    panic("%s:%d: %s: %s", file, line, expr, meaning);
}

WEAK cpu_t host_cpu(void)
{
    return host_cpu_index;
}
WEAK void host_sim_point(const volatile void *p)
{
    (void)p;
}

static __thread bool interrupts_on = true;
WEAK bool irq_enabled(void)
{
    return interrupts_on;
}
WEAK void irq_disable(void)
{
    interrupts_on = false;
}
WEAK void irq_enable(void)
{
    interrupts_on = true;
}
WEAK bool irq_save(void)
{
    bool was_on = irq_enabled();
    irq_disable();
    return was_on;
}
WEAK void irq_restore(bool was_on)
{
    if (was_on)
        irq_enable();
}

WEAK void log_line(enum log_level l, const char *fmt, ...)
{
    if (l > LOG_WARN)
        return;
    va_list ap;
    va_start(ap, fmt);
    fputs("    log: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
}

WEAK int format(char *out, size_t size, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(out, size, fmt, ap);
    va_end(ap);
    return n;
}

#ifndef HOST_NO_MAIN /* libFuzzer has one of its own */
int main(int argc, char **argv)
{
    u32 ran = 0;
    /* Results go to standard output, failures to standard error: by lines, so that they stay in order in one log. */
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (struct host_test *t = tests; t; t = t->next) {
        if (argc > 1 && strcmp(argv[1], t->name) != 0)
            continue;
        u64 failures_before = host_failures, checks_before = host_checks;
        skip_reason = NULL;
        t->fn();
        ran++;
        if (skip_reason && host_failures == failures_before) {
            printf("SKIP %s: %s\n", t->name, skip_reason);
            continue;
        }
        if (host_checks == checks_before)
            host_check_failed("the test checked something", t->name, 0);
        printf("%s %s\n", host_failures == failures_before ? "PASS" : "FAIL", t->name);
    }
    printf("%u tests, %llu checks, %llu failures\n", ran, (unsigned long long)host_checks,
           (unsigned long long)host_failures);
    return host_failures || !ran ? 1 : 0;
}
#endif
