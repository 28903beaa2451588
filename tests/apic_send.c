/* Interrupts between CPUs reach exactly whom they name, once. VECTOR_RAW counts and returns, so that nothing above
 * the APIC takes part. */
#include "apic/apic.h"
#include "kernel/trap.h"
#include "lib/atomic.h"
#include "lib/wait.h"
#include "smp/cpus.h"
#include "tests/test.h"

#define APIC_MS 2000u /* an interrupt takes a microsecond; scaled under emulators */
/* Long enough for an interrupt that should not have been sent to be noticed, too. */
#define SETTLE_US 500u

static u64 raw_before[MAX_CPUS];

static u64 raw_count(cpu_t c)
{
    return atomic_load_relaxed(&per_cpu(trap_raw_count, c));
}

static void raw_snapshot(void)
{
    CPUMASK_FOREACH (c, &cpus_online)
        raw_before[c] = raw_count(c);
}

/* Waits until every CPU of `want` has had its interrupt, and a little longer: then each has had exactly one, and
 * the others none. */
static bool raw_reached_exactly(struct test *t, const cpumask_t *want, const char *how)
{
    bool ok = true;
    CPUMASK_FOREACH (c, want) {
        struct wait w = WAIT("a raw interrupt", wait_ms(APIC_MS));
        while (raw_count(c) == raw_before[c] && wait_spin(&w))
            ;
    }
    delay_us(SETTLE_US);
    CPUMASK_FOREACH (c, &cpus_online) {
        u64 got = raw_count(c) - raw_before[c];
        ok &= CHECK(t, got == cpumask_test(want, c), "%s: CPU %u got %llu interrupts, expected %u", how, c,
                    (unsigned long long)got, cpumask_test(want, c));
    }
    return ok;
}

static bool needs_others(struct test *t)
{
    if (cpu_online_count() >= 2)
        return true;
    test_skip(t, "needs 2 CPUs");
    return false;
}

static void apic_unicast(struct test *t)
{
    if (!needs_others(t))
        return;
    CPUMASK_FOREACH (c, &cpus_online) {
        if (c == cpu_self())
            continue;
        cpumask_t want;
        cpumask_clear(&want);
        cpumask_set(&want, c);
        raw_snapshot();
        u64 icr = apic_icr_writes();
        apic_send_fixed(cpu_apic_id(c), VECTOR_RAW);
        icr = apic_icr_writes() - icr;
        CHECK(t, icr == 1, "one interrupt, %llu commands", (unsigned long long)icr);
        if (!raw_reached_exactly(t, &want, "unicast"))
            return;
    }
}
TEST(apic_unicast, "an interrupt reaches the CPU it names, once, and nobody else");

static void apic_all_but_self(struct test *t)
{
    if (!needs_others(t))
        return;
    cpumask_t want;
    cpumask_snapshot(&want, &cpus_online);
    cpumask_unset(&want, cpu_self());
    raw_snapshot();
    u64 icr = apic_icr_writes();
    apic_send_fixed_all_but_self(VECTOR_RAW);
    icr = apic_icr_writes() - icr;
    CHECK(t, icr == 1, "one broadcast, %llu commands", (unsigned long long)icr);
    raw_reached_exactly(t, &want, "all but self");
}
TEST(apic_all_but_self, "the shorthand reaches every other CPU once, by one command");

static void apic_cluster(struct test *t)
{
    if (!apic_is_x2apic) {
        test_skip(t, "clusters exist in x2APIC mode only");
        return;
    }
    if (!needs_others(t))
        return;
    u32 sent = 0, alone = 0;
    for (cpu_t first = 0; first < cpu_count(); first++) {
        /* Every second CPU of first's cluster, first itself among them: the others must stay untouched. */
        u32 cluster = cpu_apic_id(first) >> 4, bits = 0, members = 0;
        cpumask_t want;
        cpumask_clear(&want);
        bool is_first = true;
        CPUMASK_FOREACH (c, &cpus_online) {
            if (cpu_apic_id(c) >> 4 != cluster || c == cpu_self())
                continue;
            if (members == 0)
                is_first = c == first;
            if (members++ % 2 == 0) {
                bits |= 1u << (cpu_apic_id(c) & 15);
                cpumask_set(&want, c);
            }
        }
        if (!members || !is_first)
            continue;
        raw_snapshot();
        apic_send_fixed_cluster(cluster << 16 | bits, VECTOR_RAW);
        if (!raw_reached_exactly(t, &want, "cluster"))
            return;
        sent++;
        alone += members == 1;
    }
    CHECK(t, sent > 0, "no cluster was tried (%u of one CPU)", alone);
}
TEST(apic_cluster, "a cluster interrupt reaches exactly the CPUs whose bits are set, by one command");

static void apic_self(struct test *t)
{
    for (u32 i = 0; i < 10; i++) {
        u64 before = raw_count(cpu_self());
        apic_send_fixed_self(VECTOR_RAW);
        struct wait w = WAIT("a self interrupt", wait_ms(APIC_MS));
        while (raw_count(cpu_self()) == before && wait_spin(&w))
            ;
        CHECK(t, raw_count(cpu_self()) == before + 1, "self interrupt %u: %llu taken", i,
              (unsigned long long)(raw_count(cpu_self()) - before));
    }

    /* A doorbell that rings twice before it is answered is answered once: what counts has to be in memory. */
    irq_disable();
    u64 before = raw_count(cpu_self());
    apic_send_fixed_self(VECTOR_RAW);
    apic_send_fixed_self(VECTOR_RAW);
    struct wait w = WAIT("a self interrupt to be pending", wait_ms(APIC_MS));
    while (!apic_vector_pending(VECTOR_RAW) && wait_spin(&w))
        ;
    bool pending = apic_vector_pending(VECTOR_RAW);
    u64 early = raw_count(cpu_self()) - before;
    irq_enable();
    delay_us(SETTLE_US);
    CHECK(t, pending && early == 0, "interrupts off: pending %u, taken %llu", pending,
          (unsigned long long)early);
    CHECK(t, raw_count(cpu_self()) == before + 1, "two rings, %llu interrupts",
          (unsigned long long)(raw_count(cpu_self()) - before));
    CHECK(t, !apic_vector_pending(VECTOR_RAW) && !apic_vector_in_service(VECTOR_RAW),
          "something is left of it");
}
TEST(apic_self, "interrupts to oneself arrive; while interrupts are off they wait, and two become one");

static void apic_absent_destination(struct test *t)
{
    apic_id_t nobody = apic_is_x2apic ? APIC_ID_NONE - 1 : 0xfe;
    while (cpu_by_apic_id(nobody) != CPU_NONE)
        nobody--;
    cpumask_t none;
    cpumask_clear(&none);
    (void)apic_error_take();
    raw_snapshot();
    apic_send_fixed(nobody, VECTOR_RAW);
    raw_reached_exactly(t, &none, "absent");
    u32 error = apic_error_take();
    CHECK(t, (error & ~(1u << 2)) == 0, "errors %x, where at most 4 (send accept) makes sense", error);
    /* And the wire still works. */
    u64 before = raw_count(cpu_self());
    apic_send_fixed(cpu_apic_id(cpu_self()), VECTOR_RAW);
    struct wait w = WAIT("a self interrupt", wait_ms(APIC_MS));
    while (raw_count(cpu_self()) == before && wait_spin(&w))
        ;
    CHECK(t, raw_count(cpu_self()) == before + 1, "after it, an interrupt to oneself does not arrive");
    CHECK(t, apic_error_take() == 0, "the error status is not cleared by reading it");
}
TEST(apic_absent_destination,
     "an interrupt to an id that no CPU has disturbs nobody, and the next one arrives");
