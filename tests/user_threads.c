/* What threads of ring 3 rely on: registers of their own, fair slices, messages that end well whoever dies. */
#include "smp/cpus.h"
#include "tests/user_workload.h"

static void user_registers(struct test *t)
{
    u32 rounds = test_rounds(40, 8);
    u64 checks = user_run(t, "registers", 0, rounds, 2 * 6 * rounds * 2);
    test_note(t, "%llu checks in ring 3", (unsigned long long)checks);
}
TEST(user_registers, "x87, SSE and AVX registers survive preemption, yields and moves, and a new thread "
                     "finds none of another's");

static void user_mail(struct test *t)
{
    u32 laps = test_rounds(2, 1);
    u64 checks = user_run(t, "mail", 0, laps, laps * 200);
    checks += user_run(t, "mail", cpu_count() - 1, laps, laps * 200);
    test_note(t, "%llu checks in ring 3", (unsigned long long)checks);
}
TEST(user_mail, "messages keep each sender's order; sends, calls and replies to the dead and the dying end "
                "with the right error");

static void user_slices(struct test *t)
{
    u64 checks = user_run(t, "slices", 0, 0, 3);
    test_note(t, "%llu checks in ring 3", (unsigned long long)checks);
}
TEST(user_slices, "threads of one CPU that never give it up get equal shares of it");
