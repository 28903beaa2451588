/* The local APIC on the real machine: every CPU's registers as apic_init_cpu promises them, its ids, the timer's
 * stop. The way to the chosen mode from each state: tests/host/apic_base_test.c; interrupts between CPUs:
 * tests/apic_send.c. */
#include "apic/apic.h"
#include "kernel/timer.h"
#include "kernel/worker.h"
#include "lib/features.h"
#include "lib/string.h"
#include "lib/wait.h"
#include "smp/cpus.h"
#include "tests/test.h"

#define APIC_MS 2000u /* a few register reads; scaled under emulators */
/* Long enough for an interrupt that should not come to be noticed, too. */
#define SETTLE_US 500u

static struct {
    u64 base;
    apic_id_t id, id_cpuid;
    u32 logical, svr, tpr, lint0, lint1, error, in_service;
} seen[MAX_CPUS];

static void read_apic(void *arg)
{
    cpu_t c = (cpu_t)(uintptr_t)arg;
    seen[c].base = rdmsr(MSR_APIC_BASE);
    seen[c].id = apic_id();
    seen[c].id_cpuid = apic_id_cpuid();
    seen[c].logical = apic_is_x2apic ? apic_logical_id() : 0;
    seen[c].svr = apic_driver->read(APIC_REG_SVR);
    seen[c].tpr = apic_driver->read(APIC_REG_TPR);
    seen[c].lint0 = apic_driver->read(APIC_REG_LVT_LINT0);
    seen[c].lint1 = apic_driver->read(APIC_REG_LVT_LINT1);
    seen[c].error = apic_driver->read(APIC_REG_LVT_ERROR);
    seen[c].in_service = 0;
    for (u32 v = 32; v < 256; v++)
        seen[c].in_service += apic_vector_in_service((vector_t)v);
}

/* Fills `seen` on every online CPU; false if one did not answer. */
static bool read_all(struct test *t)
{
    bool ok = true;
    CPUMASK_FOREACH (c, &cpus_online) {
        if (c == cpu_self())
            read_apic((void *)(uintptr_t)c);
        else
            ok &= CHECK(t, worker_start(c, read_apic, (void *)(uintptr_t)c) == ERR_OK, "CPU %u takes no work",
                        c) &&
                  CHECK(t, worker_wait(c, APIC_MS) == ERR_OK, "CPU %u does not answer", c);
    }
    return ok;
}

static void apic_registers(struct test *t)
{
    if (!read_all(t))
        return;
    CPUMASK_FOREACH (c, &cpus_online) {
        u32 mode = apic_is_x2apic ? APIC_BASE_EN | APIC_BASE_EXTD : APIC_BASE_EN;
        CHECK(t, (seen[c].base & (APIC_BASE_EN | APIC_BASE_EXTD)) == mode, "CPU %u: APIC base %llx", c,
              (unsigned long long)seen[c].base);
        CHECK(t, !!(seen[c].base & APIC_BASE_BSP) == (c == 0), "CPU %u: BSP flag in %llx", c,
              (unsigned long long)seen[c].base);
        CHECK(t, (seen[c].svr & 0x1ff) == (SVR_ENABLE | VECTOR_SPURIOUS), "CPU %u: SVR %x", c, seen[c].svr);
        CHECK(t, seen[c].tpr == 0, "CPU %u: task priority %x", c, seen[c].tpr);
        CHECK(t, seen[c].lint0 & LVT_MASKED, "CPU %u: LINT0 %x is open to the 8259s", c, seen[c].lint0);
        CHECK(t, !(seen[c].lint1 & LVT_MASKED) == (c == 0), "CPU %u: LINT1 %x", c, seen[c].lint1);
        CHECK(t, c != 0 || (seen[c].lint1 & LVT_MODE) == LVT_MODE_NMI, "LINT1 %x is no NMI", seen[c].lint1);
        CHECK(t, (seen[c].error & (LVT_MASKED | 0xff)) == VECTOR_APIC_ERROR, "CPU %u: error entry %x", c,
              seen[c].error);
        CHECK(t, seen[c].in_service == 0, "CPU %u: %u vectors in service in a thread: no EOI?", c,
              seen[c].in_service);
    }
}
TEST(apic_registers,
     "every CPU's APIC is on in the chosen mode, masked and routed as promised, nothing in service");

static void apic_ids(struct test *t)
{
    if (!read_all(t))
        return;
    CPUMASK_FOREACH (c, &cpus_online) {
        apic_id_t id = cpu_apic_id(c);
        /* On a real machine firmware may have written the register of the memory-mapped APIC; CPUID does not follow. */
        bool written = !apic_is_x2apic && emulator == EMULATOR_NONE;
        CHECK(t, seen[c].id == id && (written || seen[c].id_cpuid == id),
              "CPU %u: id %x by its APIC, %x by CPUID, %x by firmware", c, seen[c].id, seen[c].id_cpuid, id);
        /* SDM 11.12.10.2 */
        u32 logical = (id >> 4) << 16 | 1u << (id & 15);
        CHECK(t, !apic_is_x2apic || seen[c].logical == logical, "CPU %u: logical id %x, expected %x", c,
              seen[c].logical, logical);
    }
}
TEST(apic_ids, "APIC, CPUID and firmware give each CPU the same id, and the logical id follows from it");

static void apic_timer_stops(struct test *t)
{
    bool deadline = strcmp(timer_mode_name(), "tsc-deadline") == 0;
    irq_disable();
    if (deadline) /* in which the count that is tried here means nothing */
        apic_timer_mode(false);
    apic_timer_oneshot(0xffffffff);
    apic_timer_stop();
    delay_us(SETTLE_US);
    bool stopped = !apic_vector_pending(VECTOR_TIMER);
    apic_timer_oneshot(1);
    struct wait w = WAIT("the timer's shortest shot", wait_ms(APIC_MS));
    while (!apic_vector_pending(VECTOR_TIMER) && wait_spin(&w))
        ;
    bool fired = apic_vector_pending(VECTOR_TIMER);
    if (deadline)
        apic_timer_mode(true);
    irq_enable(); /* the interrupt sets the timer for whoever waits for it */
    delay_us(SETTLE_US);
    CHECK(t, stopped, "a timer stopped at once has fired");
    CHECK(t, fired, "a count of one never ends");
    CHECK(t, !apic_vector_pending(VECTOR_TIMER) && !apic_vector_in_service(VECTOR_TIMER),
          "its interrupt was not ended");
}
TEST(apic_timer_stops, "the timer stops when told, fires when armed, and its interrupt is ended");
