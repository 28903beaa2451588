#include "kernel/smbios.h"

#include "lib/string.h"

/* Tables of large servers have some ten KiB; a length beyond this is a broken field. */
#define TABLE_MAX      (256 * KIB)
#define ENTRY_BYTES    31u /* of the 32-bit form; the 64-bit one has 24 */
#define ENTRY64_BYTES  24u
#define STRUCTURES_MAX 4096u

enum structure { BIOS = 0, SYSTEM = 1, BOARD = 2, END = 127 };

static u64 field(const u8 *p, u32 bytes)
{
    u64 v = 0;
    for (u32 i = bytes; i-- > 0;)
        v = v << 8 | p[i];
    return v;
}

static bool sums_to_zero(const u8 *p, u32 bytes)
{
    u8 sum = 0;
    for (u32 i = 0; i < bytes; i++)
        sum = (u8)(sum + p[i]);
    return sum == 0;
}

/* ---- structures ---- */

/* String `n` (from 1) of those behind the structure; they end with an empty one. Printable characters only. */
static void copy_string(char *to, size_t size, const u8 *strings, const u8 *end, u32 n)
{
    to[0] = 0;
    for (u32 i = 1; n && strings < end && *strings; i++) {
        size_t k = 0;
        for (; strings < end && *strings; strings++)
            if (i == n && k + 1 < size)
                to[k++] = *strings >= ' ' && *strings <= '~' ? (char)*strings : '?';
        if (i == n) {
            while (k && to[k - 1] == ' ') /* padding */
                k--;
            to[k] = 0;
            return;
        }
        strings++;
    }
}

/* Where the next structure begins: behind two zeros. NULL: the table ends before. */
static const u8 *skip_strings(const u8 *strings, const u8 *end)
{
    for (; end - strings >= 2; strings++)
        if (!strings[0] && !strings[1])
            return strings + 2;
    return NULL;
}

static void read_structures(const u8 *p, u64 len, struct smbios *out)
{
    const u8 *end = p + len;
    /* The first of each kind is the machine's own. */
    bool seen[3] = {false};
    for (u32 i = 0; i < STRUCTURES_MAX && p && end - p >= 4; i++) {
        u8 type = p[0], size = p[1];
        if (size < 4 || size > end - p || type == END)
            return;
        const u8 *strings = p + size;
        if (type <= BOARD && size >= 6 && !seen[type]) {
            seen[type] = true;
            if (type == BIOS) {
                copy_string(out->bios_vendor, sizeof(out->bios_vendor), strings, end, p[4]);
                copy_string(out->bios_version, sizeof(out->bios_version), strings, end, p[5]);
                copy_string(out->bios_date, sizeof(out->bios_date), strings, end, size > 8 ? p[8] : 0);
            } else if (type == SYSTEM) {
                copy_string(out->maker, sizeof(out->maker), strings, end, p[4]);
                copy_string(out->product, sizeof(out->product), strings, end, p[5]);
            } else {
                copy_string(out->board, sizeof(out->board), strings, end, p[5]);
            }
        }
        p = skip_strings(strings, end);
    }
}

/* ---- entry points ---- */

static bool read_table(u64 address, u64 len, u8 major, u8 minor, acpi_map_fn map, struct smbios *out)
{
    if (address == 0 || address >> 52 || len < 4 || len > TABLE_MAX)
        return false;
    const u8 *table = map(PADDR(address), len);
    if (!table)
        return false;
    *out = (struct smbios){.major = major, .minor = minor};
    read_structures(table, len, out);
    return true;
}

/* The entry point at `p`, of which `avail` bytes are readable. */
static bool read_entry(const u8 *p, u64 avail, acpi_map_fn map, struct smbios *out)
{
    if (avail >= ENTRY64_BYTES && memcmp(p, "_SM3_", 5) == 0 && p[6] >= ENTRY64_BYTES && p[6] <= avail &&
        sums_to_zero(p, p[6]))
        /* The length is a maximum: the table ends with its end structure. */
        return read_table(field(p + 16, 8), MIN(field(p + 12, 4), TABLE_MAX), p[7], p[8], map, out);
    if (avail >= ENTRY_BYTES && memcmp(p, "_SM_", 4) == 0 && p[5] >= ENTRY_BYTES - 1 && p[5] <= avail &&
        sums_to_zero(p, p[5]) && memcmp(p + 16, "_DMI_", 5) == 0)
        return read_table(field(p + 24, 4), field(p + 22, 2), p[6], p[7], map, out);
    return false;
}

bool smbios_scan(const u8 *at, u64 bytes, acpi_map_fn map, struct smbios *out)
{
    for (u64 i = 0; i < bytes; i += 16)
        if (read_entry(at + i, bytes - i, map, out))
            return true;
    return false;
}

/* ---- EFI (UEFI 2.10, sections 4.3 and 4.6): 64-bit firmware only, as a kernel that was booted by another has no such tag ---- */

#define EFI_SIGNATURE    0x5453595320494249ull /* "IBI SYST" */
#define EFI_SYSTEM_BYTES 120u
#define EFI_TABLES_MAX   128u
#define EFI_TABLE_BYTES  24u /* GUID, pointer */

static const u8 guid_smbios3[16] = {0x44, 0x15, 0xfd, 0xf2, 0x94, 0x97, 0x2c, 0x4a,
                                    0x99, 0x2e, 0xe5, 0xbb, 0xcf, 0x20, 0xe3, 0x94};
static const u8 guid_smbios[16] = {0x31, 0x2d, 0x9d, 0xeb, 0x88, 0x2d, 0xd3, 0x11,
                                   0x9a, 0x16, 0x00, 0x90, 0x27, 0x3f, 0xc1, 0x4d};

static bool read_efi_table(const u8 *tables, u64 count, const u8 *guid, u32 bytes, acpi_map_fn map,
                           struct smbios *out)
{
    for (u64 i = 0; i < count; i++) {
        u64 address = field(tables + i * EFI_TABLE_BYTES + 16, 8);
        if (memcmp(tables + i * EFI_TABLE_BYTES, guid, 16) != 0 || address == 0 || address >> 52)
            continue;
        const u8 *entry = map(PADDR(address), bytes);
        if (entry && read_entry(entry, bytes, map, out))
            return true;
    }
    return false;
}

bool smbios_find_efi(paddr_t system_table, acpi_map_fn map, struct smbios *out)
{
    if (system_table.v == 0 || system_table.v >> 52)
        return false;
    const u8 *s = map(system_table, EFI_SYSTEM_BYTES);
    if (!s || field(s, 8) != EFI_SIGNATURE)
        return false;
    u64 count = field(s + 104, 8), address = field(s + 112, 8);
    if (count == 0 || count > EFI_TABLES_MAX || address == 0 || address >> 52)
        return false;
    const u8 *tables = map(PADDR(address), count * EFI_TABLE_BYTES);
    return tables && (read_efi_table(tables, count, guid_smbios3, ENTRY64_BYTES, map, out) ||
                      read_efi_table(tables, count, guid_smbios, ENTRY_BYTES, map, out));
}
