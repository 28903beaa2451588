/* The CPUs after bring-up: all there, alike, each on its own stack; and proof against being started again. Indices
 * and ids: tests/cpumask.c, tests/host/cpus_test.c. The ways in which a CPU can fail to come:
 * tests/host/bringup_test.c. */
#include "smp/cpus.h"
#include "apic/apic.h"
#include "kernel/thread_internal.h"
#include "kernel/trap.h"
#include "kernel/worker.h"
#include "lib/atomic.h"
#include "lib/wait.h"
#include "tests/test.h"

#define CPUS_MS  2000u

#define MSR_EFER 0xc0000080u
#define CR0_TS   (1ull << 3) /* set and cleared by whoever switches vector state */

static struct {
    u64 cr0, cr4, efer;
    u64 stack, idle_stack; /* of what asked, and of the idle thread, on which the CPU came up */
} seen[MAX_CPUS];

static void read_registers(void *arg)
{
    cpu_t c = (cpu_t)(uintptr_t)arg;
    seen[c].cr0 = cr0_read() & ~CR0_TS;
    seen[c].cr4 = cr4_read();
    seen[c].efer = rdmsr(MSR_EFER);
    seen[c].stack = (u64)__builtin_frame_address(0);
    seen[c].idle_stack = this_cpu(thread_cpu.idle)->rsp; /* not running: we are */
}

static void cpus_all_started(struct test *t)
{
    CHECK(t, cpu_online_count() == smp_start_expected(), "%u of %u CPUs are online, %u expected",
          cpu_online_count(), cpu_count(), smp_start_expected());
    CHECK(t, cpu_is_online(0), "CPU 0, which runs this, is offline");
    CHECK(t, !cpu_is_online(cpu_count()) && !cpu_is_online(CPU_NONE), "a CPU that does not exist is online");
}
TEST(cpus_all_started, "every CPU that was to start is online");

/* Of two prescribed waits (10 ms after INIT, 200 us after the start) all CPUs together pay one pair, or each pays its own if they are
 * started one after the other. A start by firmware's mailbox has neither. */
static void cpus_start_waits(struct test *t)
{
    u32 others = smp_start_expected() - 1, pairs = smp_start_serial ? others : MIN(others, 1u);
    if (!smp_start_commands)
        pairs = 0;
    CHECK(t, smp_start_waits == 2 * pairs, "%u waits for %u CPUs, %s, not %u", smp_start_waits, others,
          smp_start_serial ? "one after the other" : "all at once", 2 * pairs);
    CHECK(t,
          !smp_start_commands ||
              (smp_start_commands >= 2 * others && smp_start_commands <= 3 * (cpu_count() - 1)),
          "%llu interrupt commands for %u CPUs: INIT, SIPI, and a second one at most",
          (unsigned long long)smp_start_commands, others);
}
TEST(cpus_start_waits, "all CPUs are started for the waits of one, unless one after the other is asked for");

static bool are_close(u64 a, u64 b)
{
    return (a > b ? a - b : b - a) < PAGE_SIZE;
}

static void cpus_are_alike(struct test *t)
{
    CPUMASK_FOREACH (c, &cpus_online) {
        if (c == cpu_self()) {
            read_registers((void *)(uintptr_t)c);
            continue;
        }
        REQUIRE(t, worker_start(c, read_registers, (void *)(uintptr_t)c) == ERR_OK, "CPU %u takes no work",
                c);
        REQUIRE(t, worker_wait(c, CPUS_MS) == ERR_OK, "CPU %u does not answer", c);
    }
    CPUMASK_FOREACH (c, &cpus_online) {
        CHECK(t, seen[c].cr0 == seen[0].cr0, "CPU %u: CR0 %llx, CPU 0: %llx", c,
              (unsigned long long)seen[c].cr0, (unsigned long long)seen[0].cr0);
        CHECK(t, seen[c].cr4 == seen[0].cr4, "CPU %u: CR4 %llx, CPU 0: %llx", c,
              (unsigned long long)seen[c].cr4, (unsigned long long)seen[0].cr4);
        CHECK(t, seen[c].efer == seen[0].efer, "CPU %u: EFER %llx, CPU 0: %llx", c,
              (unsigned long long)seen[c].efer, (unsigned long long)seen[0].efer);
        for (cpu_t d = 0; d < c; d++)
            if (cpu_is_online(d) && (are_close(seen[c].stack, seen[d].stack) ||
                                     are_close(seen[c].idle_stack, seen[d].idle_stack)))
                CHECK(t, false, "CPUs %u and %u run on one stack: at %llx and %llx, idle at %llx and %llx", c,
                      d, (unsigned long long)seen[c].stack, (unsigned long long)seen[d].stack,
                      (unsigned long long)seen[c].idle_stack, (unsigned long long)seen[d].idle_stack);
    }
}
TEST(cpus_are_alike, "all CPUs have the boot CPU's CR0, CR4 and EFER, and each a stack of its own");

static void cpus_refuse_bad_ids(struct test *t)
{
    u32 count = cpu_count();
    for (cpu_t c = 0; c < count; c++)
        CHECK(t, cpu_add(cpu_apic_id(c)) == ERR_EXIST, "CPU %u's id was accepted again", c);
    CHECK(t, cpu_add(APIC_ID_NONE) == ERR_INVAL, "the broadcast id was accepted");
    CHECK(t, cpu_count() == count, "%u CPUs became %u", count, cpu_count());
}
TEST(cpus_refuse_bad_ids, "a duplicate id and the broadcast id are no new CPUs");

static void cpus_ignore_late_sipi(struct test *t)
{
    if (cpu_online_count() < 2) {
        test_skip(t, "needs 2 CPUs");
        return;
    }
    /* A SIPI is for CPUs that wait for one. The page is in nobody's use: a CPU that obeyed would be gone. */
    CPUMASK_FOREACH (c, &cpus_online) {
        if (c == cpu_self())
            continue;
        apic_send_startup(cpu_apic_id(c), PADDR(0));
        u64 before = atomic_load_relaxed(&per_cpu(trap_raw_count, c));
        apic_send_fixed(cpu_apic_id(c), VECTOR_RAW);
        struct wait w = WAIT("an answer after a late SIPI", wait_ms(CPUS_MS));
        while (atomic_load_relaxed(&per_cpu(trap_raw_count, c)) == before && wait_spin(&w))
            ;
        CHECK(t, atomic_load_relaxed(&per_cpu(trap_raw_count, c)) == before + 1, "CPU %u obeyed a late SIPI",
              c);
        CHECK(t,
              worker_start(c, read_registers, (void *)(uintptr_t)c) == ERR_OK &&
                  worker_wait(c, CPUS_MS) == ERR_OK,
              "CPU %u does not work after a late SIPI", c);
    }
}
TEST(cpus_ignore_late_sipi, "a second SIPI that comes late does not disturb a running CPU");
