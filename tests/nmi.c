/* NMIs: taken with interrupts off, never inside each other, never lost to a CPU that is asked what it does. */
#include "apic/apic.h"
#include "kernel/panic.h"
#include "kernel/worker.h"
#include "lib/atomic.h"
#include "lib/context.h"
#include "lib/counter.h"
#include "lib/features.h"
#include "lib/wait.h"
#include "smp/cpus.h"
#include "tests/test.h"
#include "tests/trap_test.h"

#define ARRIVAL_LIMIT_MS 500u

static bool await_count(cpu_t cpu, u32 n)
{
    struct wait w = WAIT("NMIs", wait_ms(ARRIVAL_LIMIT_MS));
    while (trap_test_nmi_count(cpu) < n)
        if (!wait_spin(&w))
            return false;
    return true;
}

static u32 deepest, again_left, runs_inside, running;

static void look_inside(void)
{
    u32 depth = this_cpu(percpu_head.nmi_depth);
    if (depth > atomic_load_relaxed(&deepest))
        atomic_store_relaxed(&deepest, depth);
    if (running++)
        runs_inside++;
    if (atomic_load_relaxed(&again_left)) {
        again_left--;
        apic_send_nmi(apic_id()); /* remembered by the CPU until this one has returned */
        for (u32 i = 0; i < 200; i++)
            cpu_pause();
    }
    running--;
}

/* The handler sends NMIs to itself. If it executed an IRET too early, the next one would start on the same stack,
 * inside it. */
static void nmi_never_nests(struct test *t)
{
    deepest = runs_inside = running = 0;
    again_left = 50;
    trap_test_nmi_expect(true);
    trap_test_nmi_call(look_inside);
    apic_send_nmi(apic_id());
    bool all = await_count(cpu_self(), 51);
    u32 n = trap_test_nmi_count(cpu_self());
    trap_test_nmi_call(NULL);
    trap_test_nmi_expect(false);
    CHECK(t, n >= 1, "no NMI came");
    CHECK(t, deepest == 1 && runs_inside == 0, "NMIs inside each other: depth %u, %u times", deepest,
          runs_inside);
    CHECK(t, !context_is_nmi(), "nmi_depth is %u afterwards", this_cpu(percpu_head.nmi_depth));
    if (!all)
        test_note(t, "%u of 51 arrived: this machine does not remember an NMI that comes during one", n);
    if (!all && emulator != EMULATOR_TCG)
        CHECK(t, all, "%u of 51 arrived", n);
}
TEST(nmi_never_nests, "an NMI that is sent during an NMI comes after it, on a clean stack");

static u32 deaf_now, hear_again;

static void with_interrupts_off(void *arg)
{
    (void)arg;
    irq_disable();
    atomic_store_relaxed(&deaf_now, 1);
    while (!atomic_load_relaxed(&hear_again))
        cpu_pause();
    irq_enable();
}

static void nmi_reaches_the_deaf(struct test *t)
{
    cpu_t other = trap_test_other_cpu();
    if (other == CPU_NONE) {
        test_skip(t, "needs 2 CPUs");
        return;
    }
    atomic_store_relaxed(&deaf_now, 0);
    atomic_store_relaxed(&hear_again, 0);
    trap_test_nmi_expect(true);
    REQUIRE(t, worker_start(other, with_interrupts_off, NULL) == ERR_OK, "CPU %u takes work", other);
    struct wait w = WAIT("a CPU to turn its interrupts off", wait_ms(ARRIVAL_LIMIT_MS));
    while (!atomic_load_relaxed(&deaf_now) && wait_spin(&w))
        ;
    for (u32 i = 1; i <= 20; i++) {
        apic_send_nmi(cpu_apic_id(other));
        CHECK(t, await_count(other, i), "NMI %u did not arrive", i);
    }
    CHECK(t, atomic_load_relaxed(&deaf_now) == 1 && worker_busy(other), "it was deaf all the time");
    atomic_store_relaxed(&hear_again, 1);
    CHECK(t, worker_wait(other, 1000) == ERR_OK, "CPU %u comes back", other);
    trap_test_nmi_expect(false);
}
TEST(nmi_reaches_the_deaf, "a CPU with its interrupts off takes NMIs");

static void nmi_backtrace(struct test *t)
{
    cpu_t other = trap_test_other_cpu();
    const struct counter *taken = counter_find("nmi_taken"), *unowned = counter_find("nmi_unowned");
    if (other == CPU_NONE) {
        test_skip(t, "needs 2 CPUs");
        return;
    }
    REQUIRE(t, taken && unowned, "the counters stand in the table");
    u64 before = counter_value(taken, other), stray = counter_value(unowned, other);
    backtrace_remote(other);
    CHECK(t, counter_value(taken, other) == before + 1, "%llu NMIs taken",
          (unsigned long long)(counter_value(taken, other) - before));
    CHECK(t, counter_value(unowned, other) == stray, "the question was not recognised");
}
TEST(nmi_backtrace, "a CPU can be asked by NMI what it does");

/* Ends in a warning on the console: that is the report. */
static void nmi_unowned(struct test *t)
{
    const struct counter *unowned = counter_find("nmi_unowned");
    REQUIRE(t, unowned, "the counter stands in the table");
    u64 before = counter_value(unowned, cpu_self());
    apic_send_nmi(apic_id());
    struct wait w = WAIT("an NMI to oneself", wait_ms(ARRIVAL_LIMIT_MS));
    while (counter_value(unowned, cpu_self()) == before && wait_spin(&w))
        ;
    CHECK(t, counter_value(unowned, cpu_self()) == before + 1,
          "an NMI that nobody asked for was not noticed");
}
TEST(nmi_unowned, "an NMI that nobody asked for is reported and survived");
