/* The machine record: what it says agrees with what is otherwise known. The parsers on recorded leaves and tables:
 * tests/host/cpu_leaves_test.c, smbios_test.c, acpi_test.c. */
#include "kernel/machine.h"

#include "kernel/cpu_caches.h"
#include "kernel/cpu_facts.h"
#include "kernel/firmware.h"
#include "kernel/ioapic.h"
#include "kernel/mtrr.h"
#include "kernel/worker.h"
#include "lib/features.h"
#include "lib/string.h"
#include "lib/x86/cpu.h"
#include "smp/cpus.h"
#include "smp/topology.h"
#include "tests/test.h"

static struct cpuid_regs read(u32 leaf, u32 subleaf)
{
    return cpuid(leaf, subleaf);
}

static void machine_ioapic_lines_are_masked(struct test *t)
{
    u32 lines, open = ioapic_unmasked(&lines);
    CHECK(t, open == 0, "%u of %u lines can interrupt us", open, lines);
    CHECK(t, lines > 0 || !firmware_acpi()->ioapic_count, "%u I/O APICs without lines",
          firmware_acpi()->ioapic_count);
    test_note(t, "%u lines of %u I/O APICs", lines, firmware_acpi()->ioapic_count);
}
TEST(machine_ioapic_lines_are_masked, "no line of an I/O APIC is open, but for firmware's own SMIs");

/* Two readers of CPUID, one for delivery, one for the record. */
static void machine_topology_agrees(struct test *t)
{
    struct cpu_topology bits = cpu_topology_read(read);
    for (cpu_t c = 0; c < cpu_count(); c++) {
        struct topology place = topology_of(c);
        struct topology again = topology_split(cpu_apic_id(c), bits.core_shift, bits.package_shift);
        CHECK(t, place.package == again.package && place.core == again.core && place.thread == again.thread,
              "CPU %u: package %u, core %u, thread %u; by %s: %u, %u, %u", c, place.package, place.core,
              place.thread, bits.source, again.package, again.core, again.thread);
    }
}
TEST(machine_topology_agrees, "package, core and thread of each CPU are the same by either reader of CPUID");

static void machine_cpus_are_alike(struct test *t)
{
    CHECK(t, cpu_facts_compare() == cpu_facts_differ(), "the count is not kept");
    CPUMASK_FOREACH (c, &cpus_online) {
        const struct cpu_facts *f = cpu_facts_of(c);
        CHECK(t, f->signature == cpuid(1, 0).eax || cpu_facts_differ(), "CPU %u says %x, this one %x", c,
              f->signature, cpuid(1, 0).eax);
        CHECK(t, f->pat == cpu_facts_of(0)->pat, "CPU %u has PAT %llx", c, (unsigned long long)f->pat);
    }
    test_note(t, "%u CPUs differ from CPU 0", cpu_facts_differ());
}
TEST(machine_cpus_are_alike, "each CPU has noted its stepping and its PAT, and the same PAT is everywhere");

static u32 mtrr_now[MAX_CPUS];
static void match_again(void *arg)
{
    mtrr_now[(cpu_t)(uintptr_t)arg] = mtrr_match().was + 1;
}

static void machine_memory_types_are_alike(struct test *t)
{
    CPUMASK_FOREACH (c, &cpus_online) {
        if (c == cpu_self())
            continue;
        mtrr_now[c] = 0;
        REQUIRE(
            t, worker_start(c, match_again, (void *)(uintptr_t)c) == ERR_OK && worker_wait(c, 2000) == ERR_OK,
            "CPU %u does not work", c);
        CHECK(t, mtrr_now[c] == 1, "CPU %u: MTRR %x is not as on CPU 0", c, mtrr_now[c] - 1);
    }
    CHECK(t, mtrr_match().was == 0, "CPU 0 differs from what it was");
    test_note(t, "%u CPUs were made like CPU 0", cpu_facts_mtrrs_mended());
}
TEST(machine_memory_types_are_alike, "all CPUs have the MTRRs of CPU 0, whatever firmware has left in them");

static void machine_facts_are_said(struct test *t)
{
    static char text[512];
    static struct json j;
    u32 lines = 0;
    json_begin(&j, "machine");
    TABLE_FOREACH (machine_fact, struct machine_fact, f) {
        memset(text, '~', sizeof(text));
        f->text(text, sizeof(text));
        CHECK(t, strlen(text) < sizeof(text), "%s: a text without an end", f->label);
        lines += text[0] != 0;
        f->record(&j);
    }
    CHECK(t, lines >= 6, "only %u facts are known", lines);
    CHECK(t, j.length < JSON_MAX - 800, "%llu bytes of facts: too little is left of %u",
          (unsigned long long)j.length, JSON_MAX);
}
TEST(machine_facts_are_said, "every fact has a text and fields, and there is room for all");
