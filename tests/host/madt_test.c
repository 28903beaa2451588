/* The MADT alone: every kind of entry, every way in which one can be malformed.
 *
 *     sources: kernel/acpi_madt.c kernel/acpi_table.c tests/host/acpi_tables.c
 *     sources: kernel/acpi_remap.c kernel/acpi_numa.c
 *     sources: kernel/acpi.c kernel/acpi_fadt.c kernel/acpi_s5.c
 *     sanitize: address,undefined
 */
#include "tests/host/acpi_tables.h"

static u8 buffer[16384];
static struct fake_table madt;
static struct acpi_info info;

/* Parses what was built, out of a heap copy of exactly that size. */
static void parse(void)
{
    fake_table_end(&madt);
    u8 *exact = malloc(madt.len);
    memcpy(exact, madt.start, madt.len);
    memset(&info, 0, sizeof(info));
    acpi_parse_madt(exact, madt.len, &info);
    free(exact);
}

HOST_TEST(type_9_only)
{
    fake_madt_begin(&madt, buffer, 3);
    for (u32 i = 0; i < 300; i++)
        fake_madt_x2apic(&madt, 2 * i, 1);
    parse();
    HOST_CHECK(info.cpu_count == 300 && info.note_count == 0, "%u CPUs, %s", info.cpu_count, info.notes[0]);
    for (u32 i = 0; i < info.cpu_count; i++)
        if (info.cpu[i] != 2 * i)
            HOST_CHECK(false, "CPU %u has id %u", i, info.cpu[i]);
}

HOST_TEST(both_types_in_table_order)
{
    static const u32 ids[] = {300, 1, 255, 0, 0xfffffffe, 254};
    fake_madt_begin(&madt, buffer, 5);
    for (u32 i = 0; i < ARRAY_SIZE(ids); i++) {
        if (ids[i] < 255)
            fake_madt_lapic(&madt, (u8)ids[i], 1);
        else
            fake_madt_x2apic(&madt, ids[i], 1);
    }
    parse();
    HOST_CHECK(info.cpu_count == ARRAY_SIZE(ids) && info.note_count == 0, "%u CPUs", info.cpu_count);
    HOST_CHECK(memcmp(info.cpu, ids, sizeof(ids)) == 0, "order");
}

HOST_TEST(disabled_cpus)
{
    for (u8 revision = 1; revision <= 6; revision++) {
        fake_madt_begin(&madt, buffer, revision);
        fake_madt_lapic(&madt, 0, 1);
        fake_madt_lapic(&madt, 1, 0);
        fake_madt_lapic(&madt, 2, 2);
        fake_madt_lapic(&madt, 3, 3); /* both bits: contradicts ACPI 6.3, but it says enabled */
        fake_madt_x2apic(&madt, 4, 2);
        fake_madt_x2apic(&madt, 0xffffffff, 0);
        fake_madt_lapic(&madt, 0xff, 0);
        parse();
        HOST_CHECK(info.cpu_count == 2 && info.cpu[0] == 0 && info.cpu[1] == 3, "revision %u: %u", revision,
                   info.cpu_count);
        HOST_CHECK(info.cpus_offline == (revision >= 5 ? 2 : 0), "revision %u: %u", revision,
                   info.cpus_offline);
        HOST_CHECK(info.note_count == 0, "padding entries are no oddity: %s", info.notes[0]);
    }
}

HOST_TEST(broadcast_ids)
{
    fake_madt_begin(&madt, buffer, 5);
    fake_madt_lapic(&madt, 0, 1);
    fake_madt_lapic(&madt, 0xff, 1);
    fake_madt_x2apic(&madt, 0xffffffff, 1);
    fake_madt_x2apic(&madt, 0xff, 1); /* in x2APIC mode 255 is a CPU like any other */
    parse();
    HOST_CHECK(info.cpu_count == 2 && info.cpu[1] == 0xff, "%u", info.cpu_count);
    HOST_CHECK(fake_noted(&info, "2 enabled CPUs have the broadcast id"), "%s", info.notes[0]);
}

HOST_TEST(duplicates)
{
    fake_madt_begin(&madt, buffer, 5);
    fake_madt_lapic(&madt, 7, 1);
    fake_madt_lapic(&madt, 8, 1);
    for (u32 i = 0; i < 8; i++)
        fake_madt_x2apic(&madt, 0x17161514, 1); /* seen in the field: one id for eight CPUs */
    fake_madt_x2apic(&madt, 8, 1);
    parse();
    HOST_CHECK(info.cpu_count == 3, "%u", info.cpu_count);
    HOST_CHECK(info.note_count == 1 && fake_noted(&info, "8 entries repeat an APIC id (first: 0x17161514)"),
               "%s", info.notes[0]);
}

HOST_TEST(more_than_fit)
{
    fake_madt_begin(&madt, buffer, 5);
    for (u32 i = 0; i < MAX_CPUS + 3; i++)
        fake_madt_x2apic(&madt, i, 1);
    parse();
    HOST_CHECK(info.cpu_count == MAX_CPUS && info.cpu[MAX_CPUS - 1] == MAX_CPUS - 1, "%u", info.cpu_count);
    HOST_CHECK(fake_noted(&info, "3 CPUs beyond the 512"), "%s", info.notes[0]);
}

HOST_TEST(entries_without_a_usable_length)
{
    static const struct {
        u8 length;
        const char *words;
    } cases[] = {{0, "offset 52 says it has 0 bytes, 16 are left"},
                 {1, "offset 52 says it has 1 bytes, 16 are left"},
                 {17, "offset 52 says it has 17 bytes, 16 are left"},
                 {255, "offset 52 says it has 255 bytes, 16 are left"}};
    for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
        fake_madt_begin(&madt, buffer, 5);
        fake_madt_lapic(&madt, 1, 1);
        fake_madt_lapic(&madt, 2, 1);
        fake_madt_lapic(&madt, 3, 1);
        buffer[44 + 8 + 1] = cases[i].length;
        parse();
        HOST_CHECK(info.cpu_count == 1 && info.cpu[0] == 1, "case %u: %u CPUs", i, info.cpu_count);
        HOST_CHECK(fake_noted(&info, cases[i].words), "case %u: %s", i, info.notes[0]);
    }
    /* One byte behind the last entry: a type, but no length. */
    fake_madt_begin(&madt, buffer, 5);
    fake_madt_lapic(&madt, 1, 1);
    fake_table_add(&madt, 0, 1);
    parse();
    HOST_CHECK(info.cpu_count == 1 && fake_noted(&info, "offset 52 says it has 0 bytes, 1 are left"), "%s",
               info.notes[0]);
}

HOST_TEST(entries_too_short_for_their_type)
{
    static const struct {
        u8 type, length;
    } cases[] = {{0, 7}, {0, 2}, {5, 11}, {9, 15}, {9, 4}, {16, 15}};
    for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
        fake_madt_begin(&madt, buffer, 5);
        fake_table_add(&madt, cases[i].type | (u32)cases[i].length << 8, 2);
        for (u32 k = 2; k < cases[i].length; k++)
            fake_table_add(&madt, 1, 1);
        fake_madt_lapic(&madt, 5, 1); /* the next one is still read */
        parse();
        HOST_CHECK(info.cpu_count == 1 && info.cpu[0] == 5, "case %u: %u CPUs", i, info.cpu_count);
        HOST_CHECK(info.lapic_base.v == 0xfee00000 && info.wakeup_mailbox.v == 0, "case %u", i);
        HOST_CHECK(fake_noted(&info, "1 entries are shorter"), "case %u: %s", i, info.notes[0]);
    }
}

HOST_TEST(address_override_and_mailbox)
{
    fake_madt_begin(&madt, buffer, 5);
    fake_madt_lapic(&madt, 1, 1);
    fake_table_add(&madt, 5 | 12 << 8, 4);
    fake_table_add(&madt, 0x1fee00000, 8);
    fake_table_add(&madt, 16 | 16 << 8, 8);
    fake_table_add(&madt, 0x7ff12000, 8);
    parse();
    HOST_CHECK(info.lapic_base.v == 0x1fee00000, "%lx", info.lapic_base.v);
    HOST_CHECK(info.wakeup_mailbox.v == 0x7ff12000 && info.note_count == 0, "%s", info.notes[0]);

    static const u64 bad[] = {0, 0xfee00010, 1ull << 52};
    for (u32 i = 0; i < ARRAY_SIZE(bad); i++) {
        fake_madt_begin(&madt, buffer, 5);
        fake_madt_lapic(&madt, 1, 1);
        fake_table_add(&madt, 5 | 12 << 8, 4);
        fake_table_add(&madt, bad[i], 8);
        parse();
        HOST_CHECK(info.lapic_base.v == 0xfee00000 && fake_noted(&info, "which is no page"), "%s",
                   info.notes[0]);

        fake_madt_begin(&madt, buffer, 5);
        fake_madt_lapic(&madt, 1, 1);
        fake_table_add(&madt, 16 | 16 << 8, 8);
        fake_table_add(&madt, bad[i], 8);
        parse();
        HOST_CHECK(!info.wakeup_mailbox.v && fake_noted(&info, "which is no page, is to wake the CPUs"), "%s",
                   info.notes[0]);
    }
}

HOST_TEST(bad_header)
{
    for (u64 len = 0; len < 44; len++) {
        fake_madt_begin(&madt, buffer, 5);
        fake_table_end(&madt);
        u8 *exact = malloc(len ? len : 1);
        memcpy(exact, buffer, len);
        memset(&info, 0, sizeof(info));
        acpi_parse_madt(exact, len, &info);
        free(exact);
        HOST_CHECK(!info.have_madt && info.note_count == 1, "%lu bytes", len);
    }
    fake_madt_begin(&madt, buffer, 5);
    fake_madt_lapic(&madt, 1, 1);
    fake_table_end(&madt);
    buffer[50]++;
    memset(&info, 0, sizeof(info));
    acpi_parse_madt(buffer, madt.len, &info);
    HOST_CHECK(!info.have_madt && info.cpu_count == 0 && fake_noted(&info, "add up to 0x01"), "%s",
               info.notes[0]);

    fake_madt_begin(&madt, buffer, 5);
    parse();
    HOST_CHECK(info.have_madt && info.cpu_count == 0 && fake_noted(&info, "no enabled CPU"), "%s",
               info.notes[0]);
}
