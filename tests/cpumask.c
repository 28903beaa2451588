/* CPU sets on the real machine: the set of online CPUs agrees with everything else that counts CPUs, and the LOCKed operations
 * lose no update of another CPU. tests/host/lib_test.c has the edges of the words. */
#include "kernel/worker.h"
#include "lib/percpu.h"
#include "lib/wait.h"
#include "smp/cpus.h"
#include "tests/test.h"

#define TOGGLES   2000u
#define TOGGLE_MS 10000u

static void cpumask_of_online_cpus(struct test *t)
{
    cpumask_t online;
    cpumask_clear(&online);
    cpumask_snapshot(&online, &cpus_online);
    u32 walked = 0;
    cpu_t last = 0;
    CPUMASK_FOREACH (c, &online) {
        CHECK(t, c < cpu_count(), "CPU %u is online, but there are only %u", c, cpu_count());
        CHECK(t, walked == 0 || c > last, "the walk came from CPU %u to %u", last, c);
        CHECK(t, cpu_by_apic_id(cpu_apic_id(c)) == c, "CPU %u has APIC id %u, which belongs to CPU %u", c,
              cpu_apic_id(c), cpu_by_apic_id(cpu_apic_id(c)));
        last = c;
        walked++;
    }
    CHECK(t, walked == cpumask_count(&online), "the walk saw %u CPUs, the count is %u", walked,
          cpumask_count(&online));
    CHECK(t, walked == cpu_online_count(), "the walk saw %u CPUs, %u are online", walked, cpu_online_count());
    CHECK(t, cpumask_test(&online, cpu_self()), "the running CPU %u is not online", cpu_self());
    CHECK(t, cpumask_words == (cpu_count() + 63) / 64, "%u words for %u CPUs", cpumask_words, cpu_count());
}
TEST(cpumask_of_online_cpus, "the set of online CPUs, the CPU count and the APIC ids agree");

static cpumask_t contended;

static void toggle_own_bit(void *arg)
{
    (void)arg;
    for (u32 i = 0; i < TOGGLES; i++) {
        cpumask_set_atomic(&contended, cpu_self());
        cpumask_unset_atomic(&contended, cpu_self());
        if (i % 64 == 0)
            cpu_pause(); /* lets the other virtual CPUs of a single-threaded emulator run in between */
    }
    cpumask_set_atomic(&contended, cpu_self());
}

static void cpumask_updates_are_atomic(struct test *t)
{
    cpumask_clear(&contended);
    CPUMASK_FOREACH (c, &cpus_online)
        if (c != cpu_self()) {
            err_t e = worker_start(c, toggle_own_bit, NULL);
            CHECK(t, e == ERR_OK, "CPU %u: %s", c, err_name(e));
        }
    toggle_own_bit(NULL);
    CPUMASK_FOREACH (c, &cpus_online)
        if (c != cpu_self())
            CHECK(t, worker_wait(c, TOGGLE_MS) == ERR_OK, "CPU %u does not finish", c);
    CHECK(t, cpumask_equal(&contended, &cpus_online), "%u bits are set by %u CPUs", cpumask_count(&contended),
          cpu_online_count());
}
TEST(cpumask_updates_are_atomic, "CPUs that set and unset their bits of one mask do not lose each other's");
