/* Ring 3 against the kernel: what a program tries, and that the kernel neither gives way nor pays. The programs do the trying and
 * judge each outcome; the test runner's comparison of free frames before and after says that nothing stays behind. */
#include "lib/counter.h"
#include "smp/cpus.h"
#include "tests/residents.h"
#include "tests/user_workload.h"

static cpu_t last_cpu(void)
{
    return cpu_count() - 1;
}

static void user_bad_arguments(struct test *t)
{
    u64 checks = user_run(t, "hostile", 0, 2000, 250);
    test_note(t, "%llu checks in ring 3", (unsigned long long)checks);
}
TEST(user_bad_arguments, "every system call refuses bad arguments with the error that says what is wrong");

static void user_intrusion(struct test *t)
{
    u64 faults = counter_now(t, "user_faults");
    u64 checks = user_run(t, "intruder", last_cpu(), 0, 130);
    faults = counter_now(t, "user_faults") - faults;
    CHECK(t, faults >= 120, "only %llu attempts have faulted", (unsigned long long)faults);
    test_note(t, "%llu checks in ring 3, %llu threads ended by a fault", (unsigned long long)checks,
              (unsigned long long)faults);
}
TEST(user_intrusion, "ring 3 cannot use privileged instructions, the kernel's memory or another process's");

static void user_exhaustion(struct test *t)
{
    u64 checks = user_run(t, "hog", 0, 0, 20);
    /* What it took, it took from its own limits: there is room for another. */
    checks += user_run(t, "churn", last_cpu(), test_rounds(20, 4), 20);
    test_note(t, "%llu checks in ring 3", (unsigned long long)checks);
}
TEST(user_exhaustion,
     "regions, threads, copies, messages, memory and page tables end in an error that says so");

static void user_stale(struct test *t)
{
    u64 checks = 0;
    u32 rounds = test_rounds(4, 1);
    TABLE_FOREACH (policy, struct shootdown_policy, p) {
        const struct shootdown_policy *before;
        /* Of those that promise something about an unmap by the return to ring 3, and not only about its memory. */
        bool promises = !shootdown_policy_defers(p) || p->user_return;
        if (!promises || !POLICY_USABLE(p) || !policy_use(t, p->name, &before))
            continue;
        checks += user_run(t, "stale", 0, rounds, rounds * 12);
        policy_restore(t, before);
    }
    if (cpu_online_count() < 2)
        test_blind(t, "needs 2 CPUs");
    test_note(t, "%llu checks in ring 3", (unsigned long long)checks);
}
TEST(user_stale, "ring 3 cannot catch a translation that is gone, under any policy that promises so");
