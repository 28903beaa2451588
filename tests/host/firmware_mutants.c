#include "tests/host/firmware_mutants.h"

#include "kernel/acpi_image.h"
#include "tests/host/acpi_tables.h"
#include "tests/host/mb2_block.h"

/* Root pointers, behind all tables of tests/host/acpi_tables.c. */
#define AT_RSDP_V1 0x0f00u
#define AT_RSDP_V2 0x0f40u
#define IMAGE      0x1000u

static u64 random_state;
static u32 random_below(u32 n) /* xorshift64: the same in every run */
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (u32)(random_state >> 11) % n;
}

/* What decides how far a parser reads. */
static const u32 telling[] = {0,  1,  2,    6,    7,     8,          15,         16,         23,        24,
                              36, 44, 0x7f, 0xff, 0x100, 0x7fffffff, 0x80000000, 0xfffffff8, 0xffffffff};

static void build_madt(void)
{
    struct fake_table t;
    fake_madt_begin(&t, fake_at(FAKE_MADT), 5);
    fake_madt_lapic(&t, 0, 1);
    fake_madt_lapic(&t, 1, 1);
    fake_table_add(&t, 1 | 12 << 8, 4); /* an I/O APIC */
    fake_table_add(&t, 0xfec00000, 4);
    fake_table_add(&t, 0, 4);
    fake_madt_lapic(&t, 6, 2); /* can be added later */
    fake_madt_x2apic(&t, 0x145, 0);
    fake_table_end(&t);
}

static void damage_tables(struct boot_info *boot)
{
    static const u64 tables[] = {FAKE_XSDT, FAKE_RSDT, FAKE_MADT, FAKE_FADT,
                                 FAKE_DMAR, FAKE_DSDT, FAKE_SRAT, FAKE_SLIT};
    static const u32 sizes[] = {76, 56, 112, 268, 64, 100, 200, 108};
    bool fix = random_below(4); /* a right checksum lets the damage through to the parsers */
    for (u32 n = 1 + random_below(6); n; n--) {
        u32 k = random_below(ARRAY_SIZE(tables)), at = random_below(3) ? random_below(sizes[k]) : 4;
        u8 *table = fake_at(tables[k]);
        if (random_below(2))
            table[at] = (u8)random_below(256);
        else
            fake_put(table + at, telling[random_below(ARRAY_SIZE(telling))], random_below(2) ? 1 : 4);
        if (fix)
            fake_table_fix(table, FAKE_BASE + AT_RSDP_V1 - tables[k]);
    }
    if (random_below(6) == 0) {
        boot->rsdp_v2[random_below(36)] = (u8)random_below(256);
        boot->rsdp_v1[random_below(20)] = (u8)random_below(256);
        if (fix)
            fake_rsdp_fix(boot);
    }
}

struct mutant mutant_acpi(u32 n)
{
    static struct boot_info boot;
    fake_tables_build(&boot);
    build_madt();
    random_state = 0x9e3779b97f4a7c15 * (n + 1ull);
    if (n)
        damage_tables(&boot);
    memcpy(fake_memory + AT_RSDP_V1, boot.rsdp_v1, sizeof(boot.rsdp_v1));
    memcpy(fake_memory + AT_RSDP_V2, boot.rsdp_v2, sizeof(boot.rsdp_v2));
    /* Some end too early: then tables, or the root pointers, are not there. */
    u32 len = n && random_below(16) == 0 ? random_below(IMAGE) : IMAGE;

    struct mutant m = {malloc(ACPI_IMAGE_HEAD + len), ACPI_IMAGE_HEAD + len};
    memset(m.bytes, 0, ACPI_IMAGE_HEAD);
    memcpy(m.bytes, ACPI_IMAGE_MAGIC, 8);
    fake_put(m.bytes + 8, FAKE_BASE, 8);
    fake_put(m.bytes + 16, AT_RSDP_V1, 4);
    fake_put(m.bytes + 20, AT_RSDP_V2, 4);
    memcpy(m.bytes + ACPI_IMAGE_HEAD, fake_memory, len);
    return m;
}

struct mutant mutant_block(u32 n)
{
    struct block b = full_block();
    random_state = 0xd1b54a32d192ed03 * (n + 1ull);
    for (u32 i = n ? 1 + random_below(6) : 0; i; i--) {
        if (random_below(2))
            b.bytes[random_below(b.size)] ^= 1u << random_below(8);
        else
            set32(&b, random_below(b.size / 4) * 4, telling[random_below(ARRAY_SIZE(telling))]);
    }
    if (n && random_below(8) == 0) {
        b.size = random_below(b.size) + 1;
        b.bytes = realloc(b.bytes, b.size);
    }
    return (struct mutant){b.bytes, b.size};
}
