/* Work for the other CPUs: it runs there, as a thread, once; refusals; the wake-up that must not be lost. */
#include "kernel/worker.h"

#include "lib/atomic.h"
#include "lib/counter.h"
#include "lib/wait.h"
#include "lib/x86/cpu.h"
#include "smp/cpus.h"
#include "tests/test.h"

COUNTER(test_work_done, "work run by the self tests of workers");

#define WORK_LIMIT_MS 1000u /* a thousand times what it takes; scaled under emulators */

static struct {
    cpu_t ran_on;
    u32 runs;
    bool irq_was_on;
} seen[MAX_CPUS];

static void note_where(void *arg)
{
    cpu_t i = (cpu_t)(uintptr_t)arg;
    seen[i].ran_on = cpu_self();
    seen[i].irq_was_on = irq_enabled();
    seen[i].runs++;
    counter_inc(test_work_done);
}

static void worker_everywhere(struct test *t)
{
    if (cpu_online_count() < 2) {
        test_skip(t, "needs 2 CPUs");
        return;
    }
    const struct counter *counter = counter_find("test_work_done");
    REQUIRE(t, counter, "the counter stands in the table");
    u64 sum_before = counter_sum(counter);
    u32 started = 0;
    for (cpu_t c = 1; c < cpu_count(); c++) {
        if (!cpu_is_online(c))
            continue;
        u64 before = counter_value(counter, c);
        u32 runs = seen[c].runs;
        REQUIRE(t, worker_start(c, note_where, (void *)(uintptr_t)c) == ERR_OK, "CPU %u takes work", c);
        REQUIRE(t, worker_wait(c, WORK_LIMIT_MS) == ERR_OK, "CPU %u does its work", c);
        CHECK(t, seen[c].ran_on == c && seen[c].runs == runs + 1, "ran on CPU %u, not %u; %u times",
              seen[c].ran_on, c, seen[c].runs - runs);
        CHECK(t, seen[c].irq_was_on, "CPU %u runs it with interrupts on", c);
        CHECK(t, counter_value(counter, c) == before + 1, "CPU %u counted", c);
        started++;
    }
    CHECK(t, counter_sum(counter) == sum_before + started, "the sum grew by %llu, not %u",
          (unsigned long long)(counter_sum(counter) - sum_before), started);
}
TEST(worker_everywhere, "every CPU runs work, on itself, as a thread, and counts in its own counter");

static u32 let_go, looping;

static void loop_until_let_go(void *arg)
{
    (void)arg;
    atomic_fetch_add(&looping, 1);
    while (!atomic_load_relaxed(&let_go))
        cpu_pause();
}

static cpu_t first_other(void)
{
    for (cpu_t c = 1; c < cpu_count(); c++)
        if (cpu_is_online(c))
            return c;
    return CPU_NONE;
}

static void worker_refusals(struct test *t)
{
    CHECK(t, worker_start(0, loop_until_let_go, NULL) == ERR_INVAL, "CPU 0 is no worker");
    CHECK(t, worker_start(MAX_CPUS, loop_until_let_go, NULL) == ERR_ABSENT, "there is no CPU %u", MAX_CPUS);
    cpu_t c = first_other();
    if (c == CPU_NONE)
        return;
    CHECK(t, worker_start(c, NULL, NULL) == ERR_INVAL, "no function");
    atomic_store_relaxed(&let_go, 0);
    atomic_store_relaxed(&looping, 0);
    REQUIRE(t, worker_start(c, loop_until_let_go, NULL) == ERR_OK, "CPU %u takes work", c);
    CHECK(t, worker_start(c, loop_until_let_go, NULL) == ERR_EXIST, "and no other meanwhile");
    CHECK(t, worker_busy(c), "it is busy");
    CHECK(t, worker_wait(c, 1) == ERR_TIMEOUT, "waiting for it has an end");
    atomic_store_relaxed(&let_go, 1);
    CHECK(t, worker_wait(c, WORK_LIMIT_MS) == ERR_OK && !worker_busy(c), "it ends when let go");
    CHECK(t, atomic_load_relaxed(&looping) == 1, "it ran %u times", looping);
}
TEST(worker_refusals, "a worker refuses what it cannot take, and waiting for it is bounded");

/* Each start may fall between the worker's look and its halt: with the wrong order there, some of them would be slept
 * through, and the wait would time out. */
static void worker_wakes(struct test *t)
{
    cpu_t c = first_other();
    if (c == CPU_NONE) {
        test_skip(t, "needs 2 CPUs");
        return;
    }
    for (u32 i = 0; i < test_rounds(2000, 200); i++) {
        for (u32 pause = i % 64; pause; pause--)
            cpu_pause();
        REQUIRE(t, worker_start(c, note_where, (void *)(uintptr_t)c) == ERR_OK, "start %u", i);
        REQUIRE(t, worker_wait(c, WORK_LIMIT_MS) == ERR_OK, "start %u was slept through", i);
    }
    CHECK(t, !worker_busy(c), "idle again");
}
TEST(worker_wakes,
     "2000 starts in a row (fewer with many CPUs), at changing distances, and none is slept through");
