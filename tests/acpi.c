/* ACPI in the kernel: this machine's tables were understood, and a bad MADT costs its bad entries only. */
#include "kernel/acpi.h"

#include "apic/apic.h"
#include "lib/log.h"
#include "lib/string.h"
#include "smp/cpus.h"
#include "tests/test.h"

/* A MADT is built here byte by byte; its CPUs get ids that no real machine of this test has. */
struct madt {
    u8 bytes[256];
    u32 len;
};

static void add(struct madt *m, u64 value, u32 bytes)
{
    for (u32 i = 0; i < bytes; i++)
        m->bytes[m->len++] = (u8)(value >> (8 * i));
}

static void begin(struct madt *m)
{
    memset(m, 0, sizeof(*m));
    memcpy(m->bytes, "APIC", 4);
    m->bytes[8] = 5;
    m->len = 36;
    add(m, 0xfee00000, 4);
    add(m, 1, 4);
}

static void add_x2apic(struct madt *m, u32 id, u32 flags)
{
    add(m, 9 | 16 << 8, 4);
    add(m, id, 4);
    add(m, flags, 4);
    add(m, 0, 4);
}

static void end(struct madt *m)
{
    u8 sum = 0;
    m->bytes[4] = (u8)m->len;
    for (u32 i = 0; i < m->len; i++)
        sum = (u8)(sum + m->bytes[i]);
    m->bytes[9] = (u8)-sum;
}

static struct madt table;
static struct acpi_info info;

static void parse(u64 readable)
{
    memset(&info, 0, sizeof(info));
    acpi_parse_madt(table.bytes, readable, &info);
}

static bool noted(const char *words)
{
    size_t n = strlen(words);
    for (u32 i = 0; i < info.note_count; i++)
        for (const char *at = info.notes[i]; *at; at++)
            if (strncmp(at, words, n) == 0)
                return true;
    return false;
}

static void acpi_madt_duplicates(struct test *t)
{
    begin(&table);
    add_x2apic(&table, 0x1000, 1);
    add_x2apic(&table, 0x1001, 1);
    add_x2apic(&table, 0x1000, 1);
    add_x2apic(&table, 0xffffffff, 1);
    add_x2apic(&table, 0x1002, 0);
    end(&table);
    parse(table.len);
    CHECK(t, info.cpu_count == 2 && info.cpu[0] == 0x1000 && info.cpu[1] == 0x1001, "%u CPUs",
          info.cpu_count);
    CHECK(t, noted("1 entries repeat an APIC id (first: 0x1000)"), "%s", info.notes[0]);
    CHECK(t, noted("broadcast id"), "%s", info.notes[1]);
}
TEST(acpi_madt_duplicates,
     "a MADT with duplicate, broadcast and disabled CPUs gives each real CPU once, and says so");

static void acpi_madt_truncated(struct test *t)
{
    begin(&table);
    add_x2apic(&table, 0x1000, 1);
    add_x2apic(&table, 0x1001, 1);
    table.len -= 4; /* the last entry says 16 bytes and has 12 */
    end(&table);
    parse(table.len);
    CHECK(t, info.cpu_count == 1 && info.cpu[0] == 0x1000, "%u CPUs", info.cpu_count);
    CHECK(t, noted("entry at offset 60 says it has 16 bytes, 12 are left"), "%s", info.notes[0]);

    begin(&table);
    add_x2apic(&table, 0x1000, 1);
    add(&table, 9, 2); /* length 0: a loop over it would not end */
    end(&table);
    parse(table.len);
    CHECK(t, info.cpu_count == 1, "%u CPUs", info.cpu_count);
    CHECK(t, noted("entry at offset 60 says it has 0 bytes, 2 are left"), "%s", info.notes[0]);

    parse(table.len - 1);
    CHECK(t, info.cpu_count == 0 && !info.have_madt && noted("says it has 62 bytes"), "%s", info.notes[0]);
    table.bytes[50]++;
    parse(table.len);
    CHECK(t, info.cpu_count == 0 && !info.have_madt && noted("add up to 0x01"), "%s", info.notes[0]);
}
TEST(acpi_madt_truncated,
     "a truncated MADT entry ends the list with a note; a bad length or checksum voids the table");

static void acpi_ids_match(struct test *t)
{
    CHECK(t, cpu_count() >= 1 && cpu_count() <= MAX_CPUS, "%u CPUs", cpu_count());
    for (cpu_t c = 0; c < cpu_count(); c++) {
        apic_id_t id = cpu_apic_id(c);
        CHECK(t, cpu_by_apic_id(id) == c, "CPU %u has APIC id 0x%x, which is CPU %u", c, id,
              cpu_by_apic_id(id));
        CHECK(t, apic_is_x2apic || id < 0xff, "CPU %u has id 0x%x, but xAPIC ids end at 254", c, id);
    }
    CHECK(t, cpu_by_apic_id(APIC_ID_NONE) == CPU_NONE, "the broadcast id is a CPU");
    CHECK(t, cpu_apic_id(0) == apic_id_cpuid(), "CPU 0 is listed as 0x%x, CPUID says 0x%x", cpu_apic_id(0),
          apic_id_cpuid());
}
TEST(acpi_ids_match,
     "every CPU that firmware listed has one index and one id, and CPU 0 is the one it should be");
