/* Runs the self tests one after another, and holds each to what tests/test.h says. */
#include "tests/test.h"

#include <stdarg.h>

#include "kernel/clock.h"
#include "kernel/command.h"
#include "kernel/console.h"
#include "kernel/panic.h"
#include "kernel/thread.h"
#include "kernel/worker.h"
#include "lib/atomic.h"
#include "lib/context.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/string.h"
#include "lib/wait.h"
#include "mm/frame.h"
#include "mm/space.h"
#include "smp/cpus.h"
#include "tests/select.h"

/* Failures printed for one test. The rest is only counted: a check in a loop over pages would bury the first, telling one. */
#define FAILURES_SHOWN 8u
/* For the other CPUs to become idle after a test: a worker that still runs by then is stuck. */
#define SETTLE_MS 1000u

static struct {
    const char *running; /* NULL between tests */
    bool failed_ever;
    u32 passed, failed, skipped;
} runner;

bool test_failed_ever(void)
{
    return runner.failed_ever;
}

/* A panic inside a test says which one. */
static void name_running_test(void)
{
    if (runner.running)
        print("in self test %s\n", runner.running);
}
PANIC_HOOK(self_test, name_running_test);

bool test_check(struct test *t, bool ok, const char *expr, const char *file, int line)
{
    atomic_fetch_add(&t->checks, 1);
    if (likely(ok))
        return true;
    u32 earlier = atomic_fetch_add(&t->failures, 1);
    if (earlier < FAILURES_SHOWN)
        print("  %s:%d: %s: CPU %u: %s\n", file, line, t->name, cpu_self(), expr);
    else if (earlier == FAILURES_SHOWN)
        print("  %s: more failures follow, counted but not shown\n", t->name);
    return false;
}

void test_detail(struct test *t, const char *fmt, ...)
{
    if (atomic_load_relaxed(&t->failures) > FAILURES_SHOWN)
        return;
    char text[sizeof(t->note)];
    va_list ap;
    va_start(ap, fmt);
    vformat(text, sizeof(text), fmt, ap);
    va_end(ap);
    print("    %s\n", text);
    if (atomic_load_relaxed(&t->failures) == 1)
        string_copy(t->note, sizeof(t->note), text);
}

static void note(struct test *t, const char *fmt, va_list ap)
{
    if (!atomic_load_relaxed(&t->failures)) /* else the first failure is what the record should say */
        vformat(t->note, sizeof(t->note), fmt, ap);
}

void test_note(struct test *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    note(t, fmt, ap);
    va_end(ap);
}

void test_note_shown(struct test *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    note(t, fmt, ap);
    va_end(ap);
    t->show = true;
}

void test_skip(struct test *t, const char *why)
{
    t->skipped = true;
    t->why = why;
}

void test_blind(struct test *t, const char *why)
{
    t->blind = true;
    t->why = why;
}

/* What a test must leave as it was. */
struct surroundings {
    u64 free_frames;
    u32 threads;
    const struct shootdown_policy *policy;
    struct space *loaded;
    bool irq_on, unsafe_allowed;
    u32 preempt_depth;
};

static struct surroundings surroundings(void)
{
    thread_trim(); /* stacks that are kept for the next thread are no leak */
    shootdown_settle(NULL, 0);
    frame_drain_cache();
    return (struct surroundings){
        .free_frames = frame_stats().free,
        .threads = thread_count(),
        .policy = shootdown_policy(),
        .loaded = space_loaded(),
        .irq_on = irq_enabled(),
        .unsafe_allowed = shootdown_unsafe_allowed(),
        .preempt_depth = this_cpu(percpu_head.preempt_depth),
    };
}

/* First of all puts back what can be, so that the next test starts from the same. */
static void compare_surroundings(struct test *t, const struct surroundings *before)
{
    bool irq_on = irq_enabled();
    irq_enable();
    CPUMASK_FOREACH (c, &cpus_online) {
        if (c == cpu_self())
            continue;
        err_t e = worker_wait(c, SETTLE_MS);
        CHECK(t, e == ERR_OK, "CPU %u is still at work after the test: %s", c, err_name(e));
    }
    struct wait w = WAIT("the test's threads to be gone", wait_ms(SETTLE_MS));
    while (thread_count() != before->threads && wait_spin(&w))
        thread_yield();
    struct surroundings after = surroundings();
    CHECK(t, after.threads == before->threads, "%u threads are left, there were %u", after.threads,
          before->threads);
    CHECK(t, irq_on == before->irq_on, "interrupts were %s, are %s", before->irq_on ? "on" : "off",
          irq_on ? "on" : "off");
    CHECK(t, after.preempt_depth == before->preempt_depth, "preemption count was %u, is %u",
          before->preempt_depth, after.preempt_depth);
    this_cpu(percpu_head.preempt_depth) = before->preempt_depth;
    CHECK(t, after.loaded == before->loaded, "another space is loaded than before (%p, was %p)",
          (void *)after.loaded, (void *)before->loaded);
    CHECK(t, after.unsafe_allowed == before->unsafe_allowed, "unsafe policies are %s",
          after.unsafe_allowed ? "allowed now" : "refused now");
    shootdown_unsafe_allow(before->unsafe_allowed);
    if (!CHECK(t, after.policy == before->policy, "the policy was %s, is %s", before->policy->name,
               after.policy->name)) {
        err_t e = shootdown_policy_set(before->policy->name);
        CHECK(t, e == ERR_OK, "the policy %s cannot be set again: %s", before->policy->name, err_name(e));
    }
    CHECK(t, after.free_frames == before->free_frames, "%lld frames leaked (free: %llu before, %llu after)",
          (long long)(before->free_frames - after.free_frames), (unsigned long long)before->free_frames,
          (unsigned long long)after.free_frames);
}

u32 test_rounds(u32 usual, u32 least)
{
    u32 cpus = cpu_online_count();
    return cpus <= TEST_CPUS_USUAL ? usual : MAX(usual * TEST_CPUS_USUAL / cpus, MIN(usual, least));
}

static const char *result_of(const struct test *t)
{
    if (t->failures)
        return "FAIL"; /* also a test that skipped after a failed check */
    return t->skipped ? "SKIP" : t->blind ? "SKIP-BLIND" : "PASS";
}

static void report(const struct test *t, const struct test_entry *e, u64 ns)
{
    const char *result = result_of(t);
    const char *why = t->failures || (t->show && !t->why) ? t->note : t->why;
    print("%-10s %-36s %6u checks %6llu ms%s%s\n", result, t->name, t->checks,
          (unsigned long long)(ns / 1000000), why && *why ? "  " : "", why ? why : "");
    struct json j;
    json_begin(&j, "test");
    json_str(&j, "name", t->name);
    json_str(&j, "what", e->what);
    json_str(&j, "result", result);
    json_u64(&j, "checks", t->checks);
    json_u64(&j, "failures", t->failures);
    json_u64(&j, "ns", ns);
    if (t->why)
        json_str(&j, "why", t->why);
    if (*t->note)
        json_str(&j, "note", t->note);
    json_end(&j);
}

static void run_one(const struct test_entry *e)
{
    struct test t = {.name = e->name};
    struct surroundings before = surroundings();
    u64 start = clock_ns();
    runner.running = e->name;
    e->fn(&t);
    /* A test that reached no check proves nothing, whatever it meant to do. */
    if (!t.skipped && !t.blind)
        CHECK(&t, t.checks > 0, "the test checked nothing");
    compare_surroundings(&t, &before);
    runner.running = NULL;
    report(&t, e, clock_ns() - start);
    if (t.failures)
        runner.failed++;
    else if (t.skipped || t.blind)
        runner.skipped++;
    else
        runner.passed++;
}

bool test_run(const char *names)
{
    ASSERT_MAY_WAIT();
    const char *wrong = test_names_check(names);
    if (wrong) {
        print("%s\n", wrong);
        runner.failed_ever = true;
        return false;
    }
    runner.passed = runner.failed = runner.skipped = 0;
    u64 start = clock_ns();
    TABLE_FOREACH (test, struct test_entry, e)
        if (test_names_match(names, e->name))
            run_one(e);
    if (runner.failed)
        runner.failed_ever = true;

    u64 ns = clock_ns() - start;
    print("self tests: %u passed, %u failed, %u skipped in %llu ms\n", runner.passed, runner.failed,
          runner.skipped, (unsigned long long)(ns / 1000000));
    struct json j;
    json_begin(&j, "tests");
    json_u64(&j, "passed", runner.passed);
    json_u64(&j, "failed", runner.failed);
    json_u64(&j, "skipped", runner.skipped);
    json_u64(&j, "ns", ns);
    json_end(&j);
    return !runner.failed;
}

static void cmd_test(int argc, char **argv)
{
    if (argc < 2) {
        TABLE_FOREACH (test, struct test_entry, e)
            print("%-36s %s\n", e->name, e->what);
        return;
    }
    for (int i = 1; i < argc; i++)
        if (!test_run(argv[i]))
            console_fail("test %s", argv[i]);
}
COMMAND(test, "test [all|NAME[,NAME...]|NAME*]", "run self tests; alone: list them", cmd_test);
