/* The ACPI tables that host tests parse. */
#include "tests/host/acpi_tables.h"

#define MAPPINGS_MAX 4096

u8 fake_memory[FAKE_BYTES];
u64 fake_map_bad;
static void *mappings[MAPPINGS_MAX];
static u32 mapping_count;

void fake_put(u8 *to, u64 value, u32 bytes)
{
    for (u32 i = 0; i < bytes; i++)
        to[i] = i < 8 ? (u8)(value >> (8 * i)) : 0;
}

struct fake_table fake_table_begin(u8 *at, const char *signature, u8 revision)
{
    struct fake_table t = {.start = at, .len = 36};
    memset(at, 0, 36);
    memcpy(at, signature, 4);
    at[8] = revision;
    memcpy(at + 10, "VOLLEYHOSTTEST", 14);
    return t;
}

void fake_table_add(struct fake_table *t, u64 value, u32 bytes)
{
    fake_put(t->start + t->len, value, bytes);
    t->len += bytes;
}

void fake_table_fix(u8 *start, u64 max)
{
    u64 len = (u64)start[4] | (u64)start[5] << 8 | (u64)start[6] << 16 | (u64)start[7] << 24;
    u8 sum = 0;
    start[9] = 0;
    for (u64 i = 0; i < (len < max ? len : max); i++)
        sum = (u8)(sum + start[i]);
    start[9] = (u8)-sum;
}

void fake_table_end(struct fake_table *t)
{
    fake_put(t->start + 4, t->len, 4);
    fake_table_fix(t->start, t->len);
}

void fake_madt_begin(struct fake_table *t, u8 *at, u8 revision)
{
    *t = fake_table_begin(at, "APIC", revision);
    fake_table_add(t, 0xfee00000, 4);
    fake_table_add(t, 1, 4); /* PCAT_COMPAT */
}

void fake_madt_lapic(struct fake_table *t, u8 id, u32 flags)
{
    fake_table_add(t, 0 | 8 << 8, 2);
    fake_table_add(t, id, 1); /* ACPI processor uid */
    fake_table_add(t, id, 1);
    fake_table_add(t, flags, 4);
}

void fake_madt_x2apic(struct fake_table *t, u32 id, u32 flags)
{
    fake_table_add(t, 9 | 16 << 8, 4);
    fake_table_add(t, id, 4);
    fake_table_add(t, flags, 4);
    fake_table_add(t, id, 4);
}

static void build_fadt(void)
{
    struct fake_table t = fake_table_begin(fake_at(FAKE_FADT), "FACP", 5);
    while (t.len < 268)
        fake_table_add(&t, 0, 4);
    fake_put(t.start + 40, FAKE_DSDT, 4);
    fake_put(t.start + 48, 0xb2, 4);              /* SMI_CMD */
    fake_put(t.start + 52, 0xf1, 1);              /* ACPI_ENABLE */
    fake_put(t.start + 64, 0x604, 4);             /* PM1a_CNT */
    fake_put(t.start + 76, 0x608, 4);             /* PM timer */
    fake_put(t.start + 112, 1 << 8 | 1 << 10, 4); /* 32-bit timer, reset register */
    fake_put(t.start + 116, 1 | 8 << 8, 4);       /* I/O, 8 bits wide */
    fake_put(t.start + 120, 0xcf9, 8);
    fake_put(t.start + 128, 0x0e, 1);
    fake_put(t.start + 140, FAKE_DSDT, 8);
    fake_put(t.start + 184, 1 | 16 << 8, 4); /* X_PM1b_CNT, and no old field */
    fake_put(t.start + 188, 0x704, 8);
    fake_table_end(&t);
}

static void build_dsdt(void)
{
    static const u8 aml[] = {
        0x5b, 0x80, 'D', 'B', 'G', '_',  0x01, 0x0b, 0x02, 0x04, 0x01, /* OperationRegion (DBG, ...) */
        0x10, 0x06, '_', 'S', '5', '_',                                /* the name without a definition */
        0x08, '\\', '_', 'S', '5', '_',  0x12, 0x05, 0x04, 0x0a, 0x03, 0x0a, 0x03, /* ends inside its second element */
        0x08, '_',  'S', '5', '_', 0x12, 0x08, 0x04, 0x0a, 0x05, 0x0a, 0x05, 0x00, 0x00,
        0x08, '_',  'S', '4', '_', 0x12, 0x06, 0x04, 0x01, 0x01, 0x00, 0x00,
    };
    struct fake_table t = fake_table_begin(fake_at(FAKE_DSDT), "DSDT", 2);
    for (u32 i = 0; i < sizeof(aml); i++)
        fake_table_add(&t, aml[i], 1);
    fake_table_end(&t);
}

static void build_list(u64 at, const char *signature, u32 entry_bytes)
{
    struct fake_table t = fake_table_begin(fake_at(at), signature, 1);
    fake_table_add(&t, FAKE_FADT, entry_bytes);
    fake_table_add(&t, FAKE_DMAR, entry_bytes);
    fake_table_add(&t, FAKE_MADT, entry_bytes);
    fake_table_add(&t, FAKE_SRAT, entry_bytes);
    fake_table_add(&t, FAKE_SLIT, entry_bytes);
    fake_table_end(&t);
}

static void add_memory(struct fake_table *t, u32 domain, u64 base, u64 bytes)
{
    fake_table_add(t, 1 | 40 << 8, 2);
    fake_table_add(t, domain, 6);
    fake_table_add(t, base, 8);
    fake_table_add(t, bytes, 12);
    fake_table_add(t, 1, 12); /* enabled */
}

static void add_processor(struct fake_table *t, u32 domain, u8 id, u32 flags)
{
    fake_table_add(t, 0 | 16 << 8, 2);
    fake_table_add(t, domain & 0xff, 1);
    fake_table_add(t, id, 1);
    fake_table_add(t, flags, 5); /* and the SAPIC's EID */
    fake_table_add(t, domain >> 8, 3);
    fake_table_add(t, 0, 4);
}

static void build_nodes(void)
{
    struct fake_table t = fake_table_begin(fake_at(FAKE_SRAT), "SRAT", 3);
    fake_table_add(&t, 1, 12);
    add_processor(&t, 3, 0, 1);
    add_processor(&t, 3, 2, 1);
    add_processor(&t, 9, 4, 0);         /* disabled */
    fake_table_add(&t, 2 | 24 << 8, 4); /* an x2APIC */
    fake_table_add(&t, 7, 4);
    fake_table_add(&t, 0x145, 4);
    fake_table_add(&t, 1, 12);
    add_memory(&t, 3, 0, 1ull << 30);
    add_memory(&t, 7, 1ull << 32, 1ull << 31);
    fake_table_end(&t);

    static const u8 far[8] = {0, 0, 0, 0, 0, 0, 0, 21};
    t = fake_table_begin(fake_at(FAKE_SLIT), "SLIT", 1);
    fake_table_add(&t, 8, 8);
    for (u32 i = 0; i < 8; i++)
        for (u32 k = 0; k < 8; k++)
            fake_table_add(&t, i == k ? 10 : i == 3 ? far[k] : i == 7 && k == 3 ? 22 : 255, 1);
    fake_table_end(&t);
}

void fake_rsdp_fix(struct boot_info *boot)
{
    u8 *forms[] = {boot->rsdp_v1, boot->rsdp_v2};
    for (u32 f = 0; f < 2; f++) {
        u8 sum = 0;
        forms[f][8] = 0;
        for (u32 i = 0; i < 20; i++)
            sum = (u8)(sum + forms[f][i]);
        forms[f][8] = (u8)-sum;
    }
    u8 sum = 0;
    boot->rsdp_v2[32] = 0;
    for (u32 i = 0; i < 36; i++)
        sum = (u8)(sum + boot->rsdp_v2[i]);
    boot->rsdp_v2[32] = (u8)-sum;
}

void fake_tables_build(struct boot_info *boot)
{
    struct fake_table t;
    memset(fake_memory, 0xa5, sizeof(fake_memory));

    fake_madt_begin(&t, fake_at(FAKE_MADT), 5);
    fake_madt_lapic(&t, 0, 1);
    fake_madt_lapic(&t, 2, 1);
    fake_table_add(&t, 1 | 12 << 8, 4); /* an I/O APIC */
    fake_table_add(&t, 0xfec00000, 4);
    fake_table_add(&t, 24, 4);
    fake_madt_x2apic(&t, 0x145, 1);
    fake_madt_lapic(&t, 4, 1);
    fake_madt_lapic(&t, 6, 2); /* can be added later */
    fake_madt_lapic(&t, 0xff, 0);
    fake_table_end(&t);

    t = fake_table_begin(fake_at(FAKE_DMAR), "DMAR", 1);
    fake_table_add(&t, 38 | 3 << 8, 12); /* 39 address bits; interrupt remapping, x2APIC opt-out */
    fake_table_add(&t, 16ull << 16 | 1ull << 32, 8); /* DRHD, all devices */
    fake_table_add(&t, 0xfed90000, 8);
    fake_table_end(&t);
    build_fadt();
    build_dsdt();
    build_nodes();
    build_list(FAKE_XSDT, "XSDT", 8);
    build_list(FAKE_RSDT, "RSDT", 4);

    memset(boot, 0, sizeof(*boot));
    boot->have_rsdp_v1 = boot->have_rsdp_v2 = true;
    memcpy(boot->rsdp_v1, "RSD PTR ", 8);
    fake_put(boot->rsdp_v1 + 16, FAKE_RSDT, 4);
    memcpy(boot->rsdp_v2, "RSD PTR ", 8);
    boot->rsdp_v2[15] = 2;
    fake_put(boot->rsdp_v2 + 16, FAKE_RSDT, 4);
    fake_put(boot->rsdp_v2 + 20, 36, 4);
    fake_put(boot->rsdp_v2 + 24, FAKE_XSDT, 8);
    fake_rsdp_fix(boot);
}

const void *fake_map(paddr_t p, u64 bytes)
{
    if (bytes == 0 || bytes > ACPI_TABLE_MAX || p.v + bytes < p.v || mapping_count == MAPPINGS_MAX)
        fake_map_bad++;
    if (p.v < FAKE_BASE || p.v + bytes > FAKE_BASE + FAKE_BYTES || mapping_count == MAPPINGS_MAX)
        return NULL;
    void *copy = malloc(bytes);
    memcpy(copy, fake_at(p.v), bytes);
    mappings[mapping_count++] = copy;
    return copy;
}

void fake_map_release(void)
{
    while (mapping_count)
        free(mappings[--mapping_count]);
}

void fake_parse(const struct boot_info *boot, struct acpi_info *out)
{
    acpi_parse(boot, fake_map, out);
    fake_map_release();
}

bool fake_noted(const struct acpi_info *info, const char *words)
{
    for (u32 i = 0; i < info->note_count; i++)
        if (strstr(info->notes[i], words))
            return true;
    return false;
}
