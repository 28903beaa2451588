/* 20000 sets of ACPI tables with seeded random damage: no read beyond what was mapped, no result out of bounds, and a
 * note whenever nothing usable is left.
 *
 *     sources: kernel/acpi.c kernel/acpi_table.c kernel/acpi_madt.c kernel/acpi_fadt.c kernel/acpi_s5.c
 *     sources: kernel/acpi_remap.c kernel/acpi_numa.c
 *     sources: tests/host/acpi_tables.c
 *     sanitize: address,undefined
 */
#include "tests/host/acpi_tables.h"

static struct boot_info boot;
static struct acpi_info info;

static u64 random_state = 0x766f6c6c6579;
static u32 random_below(u32 n)
{
    random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
    return (u32)(random_state >> 33) % n;
}

/* The fields whose value decides how far a parser reads. */
static void damage_somewhere(void)
{
    static const u64 tables[] = {FAKE_XSDT, FAKE_RSDT, FAKE_MADT, FAKE_FADT,
                                 FAKE_DMAR, FAKE_DSDT, FAKE_SRAT, FAKE_SLIT};
    static const u32 sizes[] = {76, 56, 136, 268, 64, 100, 200, 108};
    u32 k = random_below(ARRAY_SIZE(tables));
    u8 *table = fake_at(tables[k]);

    for (u32 n = 1 + random_below(4); n; n--) {
        u32 at = random_below(8) == 0 ? 4 + random_below(2) : random_below(sizes[k]);
        static const u8 likely_bad[] = {0, 1, 2, 0x7f, 0x80, 0xff};
        table[at] = random_below(2) ? (u8)random_below(256) : likely_bad[random_below(sizeof(likely_bad))];
    }
    if (random_below(4)) /* a right checksum lets the damage through to the parsers */
        fake_table_fix(table, FAKE_BYTES - (u64)(table - fake_memory));
}

HOST_TEST(damaged_tables)
{
    u64 with_cpus = 0, with_notes = 0;
    fake_map_bad = 0;
    for (u32 round = 0; round < 20000; round++) {
        fake_tables_build(&boot);
        for (u32 n = 1 + random_below(3); n; n--)
            damage_somewhere();
        if (random_below(8) == 0) {
            boot.rsdp_v2[random_below(36)] = (u8)random_below(256);
            boot.rsdp_v1[random_below(20)] = (u8)random_below(256);
            if (random_below(2))
                fake_rsdp_fix(&boot);
        }
        fake_parse(&boot, &info);
        with_cpus += info.cpu_count > 0;
        with_notes += info.note_count > 0;
        if (info.cpu_count == 0 || !info.have_madt)
            HOST_CHECK(info.note_count > 0, "round %u: nothing found, nothing said", round);
        if (info.cpu_count > MAX_CPUS || info.note_count > ACPI_NOTES_MAX)
            HOST_CHECK(false, "round %u: %u CPUs, %u notes", round, info.cpu_count, info.note_count);
        for (u32 i = 0; i < info.note_count; i++)
            if (!info.notes[i][0] || strnlen(info.notes[i], ACPI_NOTE_BYTES) > ACPI_NOTE_BYTES - 1)
                HOST_CHECK(false, "round %u: note %u is empty or has no end", round, i);
    }
    HOST_CHECK(fake_map_bad == 0, "%lu calls of map with impossible lengths", fake_map_bad);
    HOST_CHECK(with_notes > 2000 && with_cpus > 2000,
               "damage was seen in %lu rounds, survived in %lu of 20000", with_notes, with_cpus);
}
