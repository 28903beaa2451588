/* Firmware's ACPI tables, to kernel/acpi*.c: the good set of tests/host/acpi_tables.c with the input as patches, three bytes each:
 * where (16 bits, over the root pointers and the memory behind them), and what. The first byte says whether checksums are made
 * right again: without that, few inputs get past them.
 *
 *     sources: kernel/acpi.c kernel/acpi_table.c kernel/acpi_madt.c kernel/acpi_fadt.c kernel/acpi_s5.c
 *     sources: kernel/acpi_remap.c kernel/acpi_numa.c
 *     sources: tests/host/acpi_tables.c
 */
#include "tests/fuzz/fuzz.h"
#include "tests/host/acpi_tables.h"

static struct boot_info boot;
static struct acpi_info info;

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
    static const u64 tables[] = {FAKE_XSDT, FAKE_RSDT, FAKE_MADT, FAKE_FADT,
                                 FAKE_DMAR, FAKE_DSDT, FAKE_SRAT, FAKE_SLIT};
    bool fix = size && (data[0] & 1);
    fake_tables_build(&boot);
    for (size_t i = 1; i + 3 <= size; i += 3) {
        u32 at =
            (u32)(data[i] | data[i + 1] << 8) % (sizeof(boot.rsdp_v1) + sizeof(boot.rsdp_v2) + FAKE_BYTES);
        if (at < sizeof(boot.rsdp_v1))
            boot.rsdp_v1[at] = data[i + 2];
        else if ((at -= sizeof(boot.rsdp_v1)) < sizeof(boot.rsdp_v2))
            boot.rsdp_v2[at] = data[i + 2];
        else
            fake_memory[at - sizeof(boot.rsdp_v2)] = data[i + 2];
    }
    if (fix) {
        fake_rsdp_fix(&boot);
        for (u32 i = 0; i < ARRAY_SIZE(tables); i++)
            fake_table_fix(fake_at(tables[i]), FAKE_BYTES - (tables[i] - FAKE_BASE));
    }
    fake_map_bad = 0;
    fake_parse(&boot, &info);
    FUZZ_CHECK(fake_map_bad == 0, "%lu calls of map with impossible lengths", fake_map_bad);
    FUZZ_CHECK(info.cpu_count <= MAX_CPUS && info.note_count <= ACPI_NOTES_MAX, "%u CPUs, %u notes",
               info.cpu_count, info.note_count);
    FUZZ_CHECK((info.cpu_count && info.have_madt) || info.note_count, "nothing found, nothing said");
    for (u32 i = 0; i < info.note_count; i++)
        FUZZ_CHECK(info.notes[i][0] && memchr(info.notes[i], 0, ACPI_NOTE_BYTES), "note %u", i);
    return 0;
}
