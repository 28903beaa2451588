/* ACPI: root pointers of both forms, lists, checksums, FADT of any length and \_S5. Random damage: acpi_damage_test.c.
 *
 *     sources: kernel/acpi.c kernel/acpi_table.c kernel/acpi_madt.c kernel/acpi_fadt.c kernel/acpi_s5.c
 *     sources: kernel/acpi_remap.c kernel/acpi_numa.c
 *     sources: tests/host/acpi_tables.c
 *     sanitize: address,undefined
 */
#include "tests/host/acpi_tables.h"

#include "kernel/acpi_table.h"

static struct boot_info boot;
static struct acpi_info info;

HOST_TEST(good_tables)
{
    fake_tables_build(&boot);
    fake_parse(&boot, &info);
    HOST_CHECK(info.note_count == 0, "%u notes, first: %s", info.note_count, info.notes[0]);
    HOST_CHECK(info.have_madt && info.have_fadt && info.have_s5 && info.have_reset, "all were found");
    HOST_CHECK(info.cpu_count == 4 && info.cpu[0] == 0 && info.cpu[1] == 2 && info.cpu[2] == 0x145 &&
                   info.cpu[3] == 4,
               "%u CPUs: %x %x %x %x", info.cpu_count, info.cpu[0], info.cpu[1], info.cpu[2], info.cpu[3]);
    HOST_CHECK(info.cpus_offline == 1, "%u", info.cpus_offline);
    HOST_CHECK(info.lapic_base.v == 0xfee00000 && info.pcat_compat, "base %lx", info.lapic_base.v);
    HOST_CHECK(info.x2apic_opt_out, "DMAR flag");
    HOST_CHECK(info.pm_timer_port == 0x608 && info.pm_timer_32bit, "port %x", info.pm_timer_port);
    HOST_CHECK(info.pm1a_cnt == 0x604 && info.pm1b_cnt == 0x704, "%x %x", info.pm1a_cnt, info.pm1b_cnt);
    HOST_CHECK(info.smi_cmd == 0xb2 && info.acpi_enable == 0xf1, "%x %x", info.smi_cmd, info.acpi_enable);
    HOST_CHECK(info.slp_typ_s5a == 5 && info.slp_typ_s5b == 5, "%u %u", info.slp_typ_s5a, info.slp_typ_s5b);
    HOST_CHECK(info.reset_space == 1 && info.reset_address == 0xcf9 && info.reset_value == 0x0e, "%lx",
               info.reset_address);
}

HOST_TEST(good_nodes_and_units)
{
    fake_tables_build(&boot);
    fake_parse(&boot, &info);
    HOST_CHECK(info.ioapic_count == 1 && info.ioapic[0].base.v == 0xfec00000 && info.ioapic[0].gsi == 24,
               "%u I/O APICs", info.ioapic_count);
    HOST_CHECK(info.have_dmar && !info.have_ivrs && info.dmar_remaps_interrupts && info.iommu_count == 1 &&
                   info.iommu[0].v == 0xfed90000,
               "%u units", info.iommu_count);
    HOST_CHECK(info.node_count == 2 && info.node_domain[0] == 3 && info.node_domain[1] == 7, "%u nodes",
               info.node_count);
    HOST_CHECK(info.node_bytes[0] == 1ull << 30 && info.node_bytes[1] == 2ull << 30, "%lx %lx",
               info.node_bytes[0], info.node_bytes[1]);
    HOST_CHECK(acpi_node_of(&info, 0) == 0 && acpi_node_of(&info, 2) == 0 &&
                   acpi_node_of(&info, 0x145) == 1 && acpi_node_of(&info, 4) == ACPI_NODES_MAX &&
                   acpi_node_of(&info, 99) == ACPI_NODES_MAX,
               "%u CPUs have nodes", info.cpu_node_count);
    HOST_CHECK(info.have_distances && info.distance[0][0] == 10 && info.distance[0][1] == 21 &&
                   info.distance[1][0] == 22 && info.distance[1][1] == 10,
               "%u %u %u %u", info.distance[0][0], info.distance[0][1], info.distance[1][0],
               info.distance[1][1]);
    HOST_CHECK(!strcmp(info.oem, "VOLLEY") && !strcmp(info.oem_table, "HOSTTEST"), "%s %s", info.oem,
               info.oem_table);
}

/* The MADT of a machine whose firmware wakes CPUs through the page at `at`, with 16 MiB of usable memory from 2 MiB on. */
static void parse_with_mailbox(u64 at)
{
    struct fake_table madt;
    fake_tables_build(&boot);
    fake_madt_begin(&madt, fake_at(FAKE_MADT), 5);
    fake_madt_lapic(&madt, 0, 1);
    fake_table_add(&madt, 16 | 16 << 8, 8);
    fake_table_add(&madt, at, 8);
    fake_table_end(&madt);
    boot.mem[0] =
        (struct boot_mem_range){.start = PADDR(0x200000), .size = 16 << 20, .type = BOOT_MEM_USABLE};
    boot.mem[1] = (struct boot_mem_range){.start = PADDR(0x1200000), .size = 1 << 20, .type = BOOT_MEM_NVS};
    boot.mem_count = 2;
    fake_parse(&boot, &info);
    boot.mem_count = 0;
}

HOST_TEST(mailbox_in_usable_memory)
{
    static const u64 good[] = {0x1ff000, 0x1200000, 0x1300000, 0xffffffffff000},
                     bad[] = {0x200000, 0x11ff000};
    for (u32 i = 0; i < ARRAY_SIZE(good); i++) {
        parse_with_mailbox(good[i]);
        HOST_CHECK(info.wakeup_mailbox.v == good[i] && info.note_count == 0, "%lx: %s", good[i],
                   info.notes[0]);
    }
    for (u32 i = 0; i < ARRAY_SIZE(bad); i++) {
        parse_with_mailbox(bad[i]);
        HOST_CHECK(info.wakeup_mailbox.v == 0 && fake_noted(&info, "in usable memory, is ignored"), "%lx: %s",
                   bad[i], info.notes[0]);
    }
}

HOST_TEST(distances_that_cannot_be)
{
    static const struct {
        u32 at, value, bytes;
        const char *words;
    } cases[] = {
        {36, 9, 1, "9 nodes need 81 bytes"},
        {40, 1, 1, "4294967304 nodes"},
        {36, 0, 1, "0 nodes"},
        {44 + 3 * 8 + 7, 9, 1, "nearer than itself"},
        {44 + 3 * 8 + 3, 11, 1, "nearer than itself"},
    };
    for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
        fake_tables_build(&boot);
        fake_put(fake_at(FAKE_SLIT) + cases[i].at, cases[i].value, cases[i].bytes);
        fake_table_fix(fake_at(FAKE_SLIT), 0x100);
        fake_parse(&boot, &info);
        HOST_CHECK(!info.have_distances && fake_noted(&info, cases[i].words), "case %u: %s", i,
                   info.notes[0]);
        HOST_CHECK(info.node_count == 2, "case %u: the nodes stay", i);
    }
    fake_tables_build(&boot);
    fake_put(fake_at(FAKE_SRAT) + 48 + 2, 8, 1); /* CPU 0 in a domain that the SLIT does not have */
    fake_table_fix(fake_at(FAKE_SRAT), 0x100);
    fake_parse(&boot, &info);
    HOST_CHECK(!info.have_distances && fake_noted(&info, "domain 8, which the SRAT names"), "%s",
               info.notes[0]);
}

HOST_TEST(entries_of_srat_dmar_ivrs_that_cannot_be)
{
    static const u8 lengths[] = {0, 1, 15, 200};
    for (u32 i = 0; i < ARRAY_SIZE(lengths); i++) {
        fake_tables_build(&boot);
        fake_put(fake_at(FAKE_SRAT) + 48 + 1, lengths[i], 1);
        fake_table_fix(fake_at(FAKE_SRAT), 0x100);
        fake_put(fake_at(FAKE_DMAR) + 48 + 2, lengths[i], 1);
        fake_table_fix(fake_at(FAKE_DMAR), 0x100);
        fake_parse(&boot, &info);
        HOST_CHECK(fake_noted(&info, "SRAT: ") && fake_noted(&info, "DMAR: "), "length %u: %s", lengths[i],
                   info.notes[0]);
        HOST_CHECK(info.iommu_count == 0, "%u units", info.iommu_count);
    }
    fake_tables_build(&boot);
    struct fake_table t = fake_table_begin(fake_at(FAKE_DMAR), "IVRS", 2);
    fake_table_add(&t, 0, 12);
    fake_table_add(&t, 0x10 | 24ull << 16, 8);
    fake_table_add(&t, 0xfeb80000, 8);
    fake_table_add(&t, 0, 8);
    fake_table_add(&t, 0x11 | 24ull << 16, 8); /* the same unit once more, in a newer form */
    fake_table_add(&t, 0xfeb80000, 8);
    fake_table_add(&t, 0, 8);
    fake_table_end(&t);
    fake_parse(&boot, &info);
    HOST_CHECK(info.have_ivrs && !info.have_dmar && info.iommu_count == 1 && info.iommu[0].v == 0xfeb80000,
               "%u units", info.iommu_count);
}

HOST_TEST(old_root_pointer_alone)
{
    fake_tables_build(&boot);
    boot.have_rsdp_v2 = false;
    fake_put(fake_at(FAKE_XSDT), 0, 4); /* must not be needed */
    fake_parse(&boot, &info);
    HOST_CHECK(info.cpu_count == 4 && info.note_count == 0, "%u CPUs, %s", info.cpu_count, info.notes[0]);
}

/* Each way in which the new form can be bad leads to the RSDT, with a note; only the RSDT names the FADT, so that one
 * sees which was read. */
HOST_TEST(bad_new_root_pointer_falls_back)
{
    static const struct {
        u32 at;
        u8 value;
        bool fix;
        const char *words;
    } cases[] = {
        {0, 'X', false, "first 20 bytes"},   {9, 'X', false, "first 20 bytes"},
        {15, 1, true, "revision 1"},         {20, 35, true, "says it has 35 bytes"},
        {33, 7, false, "extended checksum"},
    };
    for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
        fake_tables_build(&boot);
        fake_put(fake_at(FAKE_XSDT) + 36, FAKE_DMAR, 8); /* no FADT by way of the XSDT */
        fake_table_fix(fake_at(FAKE_XSDT), 0x100);
        boot.rsdp_v2[cases[i].at] = cases[i].value;
        if (cases[i].fix)
            fake_rsdp_fix(&boot);
        fake_parse(&boot, &info);
        HOST_CHECK(info.have_fadt && info.cpu_count == 4, "case %u: the RSDT was not used", i);
        HOST_CHECK(fake_noted(&info, cases[i].words), "case %u: %s", i, info.notes[0]);
    }
    fake_tables_build(&boot);
    fake_put(fake_at(FAKE_XSDT) + 36, FAKE_DMAR, 8);
    fake_table_fix(fake_at(FAKE_XSDT), 0x100);
    fake_parse(&boot, &info);
    HOST_CHECK(!info.have_fadt, "a good new form uses the XSDT");
}

HOST_TEST(no_usable_root_pointer)
{
    fake_tables_build(&boot);
    boot.have_rsdp_v1 = boot.have_rsdp_v2 = false;
    fake_parse(&boot, &info);
    HOST_CHECK(info.cpu_count == 0 && fake_noted(&info, "no usable root pointer"), "%s", info.notes[0]);
    fake_tables_build(&boot);
    boot.have_rsdp_v2 = false;
    boot.rsdp_v1[3]++;
    fake_parse(&boot, &info);
    HOST_CHECK(info.cpu_count == 0 && fake_noted(&info, "old form"), "%s", info.notes[0]);
}

HOST_TEST(bad_xsdt_falls_back)
{
    static const struct {
        u32 at;
        u64 value;
        u32 bytes;
        bool fix;
        const char *words;
    } cases[] = {
        {9, 0, 1, false, "add up to"},
        {0, 0x41414141, 4, true, "signature bytes 41 41 41 41"},
        {4, 35, 4, true, "says it has 35 bytes"},
        {4, 0xfffffff0, 4, false, "says it has 4294967280 bytes"},
        {4, FAKE_BYTES, 4, false, "cannot map its 16384 bytes"},
    };
    for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
        fake_tables_build(&boot);
        fake_put(fake_at(FAKE_XSDT) + cases[i].at, cases[i].value, cases[i].bytes);
        if (cases[i].fix)
            fake_table_fix(fake_at(FAKE_XSDT), 60);
        fake_parse(&boot, &info);
        HOST_CHECK(info.cpu_count == 4, "case %u: %u CPUs", i, info.cpu_count);
        HOST_CHECK(fake_noted(&info, cases[i].words), "case %u: %s", i, info.notes[0]);
    }
    for (u32 i = 0; i < 2; i++) {
        fake_tables_build(&boot);
        fake_put(boot.rsdp_v2 + 24, i ? ~0ull : FAKE_BASE - 0x1000, 8);
        fake_rsdp_fix(&boot);
        fake_parse(&boot, &info);
        HOST_CHECK(info.cpu_count == 4 && fake_noted(&info, i ? "is no memory" : "cannot map its header"),
                   "%s", info.notes[0]);
    }
}

HOST_TEST(bad_entries_in_the_list)
{
    struct fake_table t;
    fake_tables_build(&boot);
    t = fake_table_begin(fake_at(FAKE_XSDT), "XSDT", 1);
    fake_table_add(&t, 0, 8);
    fake_table_add(&t, ~0ull, 8);
    fake_table_add(&t, FAKE_BASE + FAKE_BYTES - 4, 8);
    fake_table_add(&t, FAKE_MADT, 8);
    fake_table_add(&t, FAKE_MADT, 8);
    fake_table_add(&t, FAKE_FADT, 8);
    fake_table_add(&t, FAKE_FADT, 8);
    fake_table_add(&t, 0x123456, 3);
    fake_table_end(&t);
    fake_parse(&boot, &info);
    HOST_CHECK(info.cpu_count == 4 && info.have_fadt, "%u CPUs", info.cpu_count);
    HOST_CHECK(fake_noted(&info, "address 0x0,"), "%s", info.notes[0]);
    HOST_CHECK(fake_noted(&info, "address 0xffffffffffffffff,"), "%s", info.notes[1]);
    HOST_CHECK(fake_noted(&info, "3 bytes left over after 7 whole entries"), "left over");
    HOST_CHECK(fake_noted(&info, "a second MADT") && fake_noted(&info, "a second FADT"), "duplicates");
}

HOST_TEST(too_many_tables)
{
    struct fake_table t;
    fake_tables_build(&boot);
    t = fake_table_begin(fake_at(FAKE_BASE + 0x2000), "XSDT", 1);
    for (u32 i = 0; i < 300; i++)
        fake_table_add(&t, i == 255 ? FAKE_MADT : i == 256 ? FAKE_FADT : 0, 8);
    fake_table_end(&t);
    fake_put(boot.rsdp_v2 + 24, FAKE_BASE + 0x2000, 8);
    fake_rsdp_fix(&boot);
    fake_parse(&boot, &info);
    HOST_CHECK(fake_noted(&info, "lists 300 tables, the first 256"), "%s", info.notes[0]);
    HOST_CHECK(info.have_madt && !info.have_fadt, "the 256th is read, the 257th is not");
    HOST_CHECK(info.note_count == ACPI_NOTES_MAX && info.notes_lost == 255 + 1 - ACPI_NOTES_MAX,
               "%u notes, %u lost", info.note_count, info.notes_lost);
}

HOST_TEST(fadt_of_every_length)
{
    for (u32 len = 44; len <= 268; len++) {
        fake_tables_build(&boot);
        u8 *fadt = fake_at(FAKE_FADT);
        fake_put(fadt + 4, len, 4);
        fake_table_fix(fadt, len);
        fake_parse(&boot, &info);
        HOST_CHECK(info.have_fadt, "length %u", len);
        HOST_CHECK(info.have_s5, "length %u: the DSDT has a field from the first", len);
        HOST_CHECK(info.pm_timer_port == (len >= 80 ? 0x608 : 0), "length %u: PM timer %x", len,
                   info.pm_timer_port);
        HOST_CHECK(info.pm1b_cnt == (len >= 196 ? 0x704 : 0), "length %u: %x", len, info.pm1b_cnt);
        HOST_CHECK(info.have_reset == (len >= 129), "length %u", len);
        HOST_CHECK(fake_noted(&info, "before it") == (len >= 116 && len < 129), "length %u: %s", len,
                   info.notes[0]);
    }
}

static void change_fadt(u32 at, u64 value, u32 bytes)
{
    u8 *fadt = fake_at(FAKE_FADT);
    fake_put(fadt + at, value, bytes);
    fake_table_fix(fadt, 268);
    fake_parse(&boot, &info);
}

HOST_TEST(impossible_fadt_fields)
{
    fake_tables_build(&boot);
    change_fadt(76, 0x10608, 4);
    HOST_CHECK(!info.pm_timer_port && fake_noted(&info, "PM timer is port 0x10608"), "%s", info.notes[0]);
    change_fadt(76, 0, 4);
    HOST_CHECK(!info.pm_timer_port && info.note_count == 0, "none is no oddity: %s", info.notes[0]);
    fake_put(fake_at(FAKE_FADT) + 208, 0, 4);
    change_fadt(212, 0xfed00000, 8);
    HOST_CHECK(!info.pm_timer_port && fake_noted(&info, "address space 0"), "%s", info.notes[0]);

    fake_tables_build(&boot);
    change_fadt(112, 1 << 8, 4);
    HOST_CHECK(!info.have_reset && info.note_count == 0, "no reset register: %s", info.notes[0]);
    change_fadt(112, 1 << 10, 4);
    HOST_CHECK(info.have_reset && !info.pm_timer_32bit, "24 bits");
    change_fadt(116, 0x7f, 1);
    HOST_CHECK(!info.have_reset && fake_noted(&info, "address space 127"), "%s", info.notes[0]);
    change_fadt(116, 1, 1);
    change_fadt(120, 0x10000, 4);
    HOST_CHECK(!info.have_reset && fake_noted(&info, "reset register 0x10000"), "%s", info.notes[0]);

    fake_tables_build(&boot);
    change_fadt(112, 1 << 20, 4);
    HOST_CHECK(!info.pm_timer_port && !info.pm1a_cnt && !info.have_s5 &&
                   fake_noted(&info, "hardware-reduced"),
               "%s", info.notes[0]);
    fake_tables_build(&boot);
    change_fadt(140, FAKE_MADT, 8);
    HOST_CHECK(!info.have_s5 && fake_noted(&info, "DSDT: the table found there"), "%s", info.notes[0]);
}

/* A DSDT with these bytes after its header. */
static bool s5_of(const u8 *aml, u32 n, u8 *a, u8 *b)
{
    u8 *exact = malloc(36 + n);
    memset(exact, 0, 36);
    memcpy(exact + 36, aml, n);
    const struct acpi_table t = {exact, 36 + n};
    bool found = acpi_find_s5(&t, a, b);
    free(exact);
    return found;
}

HOST_TEST(s5_forms)
{
    static const struct {
        u8 aml[24];
        u32 n;
        bool found;
        u8 a, b;
    } cases[] = {
        {{0x08, '_', 'S', '5', '_', 0x12, 0x06, 0x02, 0x0a, 7, 0x0a, 6}, 12, true, 7, 6},
        {{0x08, '\\', '_', 'S', '5', '_', 0x12, 0x06, 0x04, 0x00, 0x01, 0}, 13, true, 0, 1},
        {{0x08, '_', 'S', '5', '_', 0x12, 0x0a, 0x04, 0x0b, 5, 0, 0x0c, 4, 0, 0, 0}, 16, true, 5, 4},
        {{0x08, '_', 'S', '5', '_', 0x12, 0x47, 0x00, 0x02, 0x0a, 5, 0x0a, 5},
         13,
         true,
         5,
         5}, /* length in 2 bytes */
        {{0x08, '_', 'S', '5', '_', 0x12, 0x06, 0x02, 0x0a, 8, 0x0a, 6}, 12, false, 0, 0}, /* 8 > 3 bits */
        {{0x08, '_', 'S', '5', '_', 0x12, 0x06, 0x01, 0x0a, 7, 0x0a, 6}, 12, false, 0, 0}, /* one element */
        {{0x08, '_', 'S', '5', '_', 0x12, 0x06, 0x02, 0x0a, 7, 0x0a},
         11,
         false,
         0,
         0}, /* ends with the table */
        {{0x08, '_', 'S', '5', '_', 0x12, 0xc6, 0xff, 0xff, 0xff}, 10, false, 0, 0},
        {{0x08, '_', 'S', '5', '_', 0x12, 0xc6}, 7, false, 0, 0},
        {{0x08, '_', 'S', '5', '_', 0x12, 0x00, 0x02, 0x01, 0x01}, 10, false, 0, 0}, /* length 0 */
        {{0x08, '_', 'S', '5', '_', 0x12}, 6, false, 0, 0},
        {{0x14, '_', 'S', '5', '_', 0x12, 0x06, 0x02, 0x0a, 7, 0x0a, 6}, 12, false, 0, 0}, /* a method */
        {{0x08, '_', 'S', '5', '_', 0x12, 0x06, 0x02, 'V', 'A', 'L', '_'},
         12,
         false,
         0,
         0}, /* no constants */
    };
    for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
        u8 a = 0, b = 0;
        bool found = s5_of(cases[i].aml, cases[i].n, &a, &b);
        HOST_CHECK(found == cases[i].found, "case %u", i);
        HOST_CHECK(!found || (a == cases[i].a && b == cases[i].b), "case %u: %u %u", i, a, b);
    }
}
