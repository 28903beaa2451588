/* The body of an ACPI MADT, to kernel/acpi_madt.c: the list of CPUs.
 *
 *     sources: kernel/acpi_remap.c kernel/acpi_numa.c
 *     sources: kernel/acpi.c kernel/acpi_table.c kernel/acpi_madt.c kernel/acpi_fadt.c kernel/acpi_s5.c
 */
#include "kernel/acpi.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
    static struct acpi_info info;
    memset(&info, 0, sizeof(info));
    u8 *table = fuzz_copy(data, size);
    acpi_parse_madt(table, size, &info);
    free(table);
    FUZZ_CHECK(info.cpu_count <= MAX_CPUS && info.note_count <= ACPI_NOTES_MAX, "%u CPUs, %u notes",
               info.cpu_count, info.note_count);
    for (u32 i = 0; i < info.cpu_count; i++) {
        FUZZ_CHECK(info.cpu[i] != 0xffffffff, "the broadcast id is no CPU");
        for (u32 k = 0; k < i && i < 64; k++)
            FUZZ_CHECK(info.cpu[i] != info.cpu[k], "id %u twice", info.cpu[i]);
    }
    return 0;
}
