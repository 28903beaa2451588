/* SMBIOS: both entry points, found by scanning and by EFI; broken ones.
 *
 *     sources: kernel/smbios.c
 *     sanitize: address,undefined
 */
#include "kernel/smbios.h"
#include "tests/host/host.h"

#define BASE  0xe0000ull
#define BYTES 0x2000u
#define TABLE (BASE + 0x1000)

static u8 memory[BYTES];
static struct smbios found;
static void *mappings[64];
static u32 mapping_count;

static const void *map(paddr_t p, u64 bytes)
{
    if (p.v < BASE || bytes > BYTES || p.v - BASE > BYTES - bytes || mapping_count == ARRAY_SIZE(mappings))
        return NULL;
    mappings[mapping_count] = malloc(bytes);
    memcpy(mappings[mapping_count], memory + (p.v - BASE), bytes);
    return mappings[mapping_count++];
}

static void release(void)
{
    while (mapping_count)
        free(mappings[--mapping_count]);
}

static void put(u32 at, u64 v, u32 bytes)
{
    for (u32 i = 0; i < bytes; i++)
        memory[at + i] = (u8)(v >> 8 * i);
}

static void fix(u32 at, u32 sum_at, u32 bytes)
{
    u8 sum = 0;
    memory[at + sum_at] = 0;
    for (u32 i = 0; i < bytes; i++)
        sum = (u8)(sum + memory[at + i]);
    memory[at + sum_at] = (u8)-sum;
}

static const char structures[] = {0,   12,  0,   0,   1,   2,   0,   0,   3,   0,   0,   0,   'S',
                                  'e', 'a', 'B', 'I', 'O', 'S', 0,   '1', '.', '1', '6', ' ', ' ',
                                  0,   '0', '4', '/', '0', '1', '/', '2', '0', '1', '4', 0,   0,
                                  1,   8,   1,   0,   1,   2,   0,   0,   'Q', 'E', 'M', 'U', 0,
                                  'Q', '3', '5', 1,   0,   0,   127, 4,   2,   0,   0,   0};

static void build(u32 entry, bool new_form)
{
    memset(memory, 0, sizeof(memory));
    memcpy(memory + (TABLE - BASE), structures, sizeof(structures));
    if (new_form) {
        memcpy(memory + entry, "_SM3_", 5);
        put(entry + 6, 24, 1);
        put(entry + 7, 3, 1);
        put(entry + 8, 2, 1);
        put(entry + 12, 0x800, 4); /* a maximum: more than there is */
        put(entry + 16, TABLE, 8);
        fix(entry, 5, 24);
    } else {
        memcpy(memory + entry, "_SM_", 4);
        put(entry + 5, 31, 1);
        put(entry + 6, 2, 1);
        put(entry + 7, 8, 1);
        memcpy(memory + entry + 16, "_DMI_", 5);
        put(entry + 22, sizeof(structures), 2);
        put(entry + 24, TABLE, 4);
        fix(entry, 4, 31);
    }
}

static bool scan(void)
{
    found = (struct smbios){0};
    u8 *exact = malloc(0x1000);
    memcpy(exact, memory, 0x1000);
    bool ok = smbios_scan(exact, 0x1000, map, &found);
    free(exact);
    release();
    return ok;
}

static void check_found(u8 major, u8 minor)
{
    HOST_CHECK(found.major == major && found.minor == minor, "%u.%u", found.major, found.minor);
    HOST_CHECK(!strcmp(found.bios_vendor, "SeaBIOS") && !strcmp(found.bios_version, "1.16") &&
                   !strcmp(found.bios_date, "04/01/2014"),
               "\"%s\" \"%s\" \"%s\"", found.bios_vendor, found.bios_version, found.bios_date);
    HOST_CHECK(!strcmp(found.maker, "QEMU") && !strcmp(found.product, "Q35?") && !found.board[0],
               "\"%s\" \"%s\"", found.maker, found.product);
}

HOST_TEST(entry_points_of_both_forms)
{
    build(0x7f0, true);
    HOST_CHECK(scan(), "new form");
    check_found(3, 2);
    build(0xfe0, false);
    HOST_CHECK(scan(), "old form, at the end");
    check_found(2, 8);
    build(0x7f8, true);
    HOST_CHECK(!scan(), "not at a multiple of 16");
    build(0x7f0, true);
    memory[0x7f0 + 9]++;
    HOST_CHECK(!scan(), "a wrong checksum");
    build(0x7f0, true);
    put(0x7f0 + 16, BASE + BYTES, 8);
    fix(0x7f0, 5, 24);
    HOST_CHECK(!scan(), "a table that is nowhere");
}

HOST_TEST(by_way_of_efi)
{
    static const u8 guid[16] = {0x44, 0x15, 0xfd, 0xf2, 0x94, 0x97, 0x2c, 0x4a,
                                0x99, 0x2e, 0xe5, 0xbb, 0xcf, 0x20, 0xe3, 0x94};
    build(0x7f0, true);
    put(0x100, 0x5453595320494249ull, 8);
    put(0x100 + 104, 2, 8);
    put(0x100 + 112, BASE + 0x200, 8);
    memcpy(memory + 0x218, guid, 16);
    put(0x228, BASE + 0x7f0, 8);
    found = (struct smbios){0};
    HOST_CHECK(smbios_find_efi(PADDR(BASE + 0x100), map, &found), "by its GUID");
    release();
    check_found(3, 2);
    put(0x100 + 104, 1, 8);
    HOST_CHECK(!smbios_find_efi(PADDR(BASE + 0x100), map, &found), "one table only, another's");
    put(0x100 + 104, ~0ull, 8);
    HOST_CHECK(!smbios_find_efi(PADDR(BASE + 0x100), map, &found), "an impossible number of tables");
    HOST_CHECK(!smbios_find_efi(PADDR(BASE + 0x108), map, &found) &&
                   !smbios_find_efi(PADDR(0), map, &found) && !smbios_find_efi(PADDR(~0ull), map, &found),
               "no system table");
    release();
}

HOST_TEST(damage_stays_within_bounds)
{
    u64 random = 0x9e3779b97f4a7c15;
    u32 survived = 0;
    for (u32 round = 0; round < 20000; round++) {
        build(0x7f0, round & 1);
        for (u32 n = 0; n < 4; n++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            u32 at = (u32)(random >> 20) % (sizeof(structures) + 32);
            memory[at < 32 ? 0x7f0 + at : (TABLE - BASE) + at - 32] = (u8)(random >> 11);
        }
        fix(0x7f0, round & 1 ? 5 : 4, round & 1 ? 24 : 31);
        survived += scan();
        if (strnlen(found.maker, SMBIOS_TEXT) == SMBIOS_TEXT || strnlen(found.bios_date, 16) == 16)
            HOST_CHECK(false, "round %u: a text has no end", round);
    }
    HOST_CHECK(survived > 2000 && survived < 20000, "%u of 20000 entry points survive", survived);
}
