/* The FADT: PM timer, power-off and reset (ACPI 6.5, section 5.2.9). Any revision: fields that an old table lacks
 * read as 0. */
#include "kernel/acpi_table.h"

/* Byte offsets in the FADT; the X_ fields came with ACPI 2.0 and are generic addresses of 12 bytes. */
enum fadt {
    FADT_DSDT = 40,
    FADT_SMI_CMD = 48,
    FADT_ACPI_ENABLE = 52,
    FADT_PM1A_CNT = 64,
    FADT_PM1B_CNT = 68,
    FADT_PM_TMR = 76,
    FADT_FLAGS = 112,
    FADT_RESET_REG = 116,
    FADT_RESET_VALUE = 128,
    FADT_X_DSDT = 140,
    FADT_X_PM1A_CNT = 172,
    FADT_X_PM1B_CNT = 184,
    FADT_X_PM_TMR = 208,
};
#define FADT_FLAG_TMR_VAL_EXT   (1u << 8)  /* the PM timer has 32 bits, not 24 */
#define FADT_FLAG_RESET_REG_SUP (1u << 10) /* the reset register exists */
#define FADT_FLAG_HW_REDUCED    (1u << 20) /* no PM timer, no PM1 registers: their fields mean nothing */

enum gas_space { GAS_MEMORY = 0, GAS_IO = 1, GAS_PCI = 2 };

/* A port from its 32-bit field, or from its generic address if that field is 0; 0 if there is none. The old field comes
 * first: a port number always fits in it, and where firmware fills both and they differ, the old one has been right. */
static u16 fadt_port(const struct acpi_table *t, u64 field, u64 x_field, const char *name,
                     struct acpi_info *out)
{
    u64 port = acpi_u32(t, field);
    if (port == 0 && acpi_u64(t, x_field + 4) != 0) {
        u8 space = acpi_u8(t, x_field);
        if (space != GAS_IO) {
            acpi_note(out, "FADT: %s is in address space %u, only 1 (I/O ports) is supported; ignored", name,
                      space);
            return 0;
        }
        port = acpi_u64(t, x_field + 4);
    }
    if (port > 0xffff) {
        acpi_note(out, "FADT: %s is port 0x%lx, ports end at 0xffff; ignored", name, port);
        return 0;
    }
    return (u16)port;
}

static void parse_reset(const struct acpi_table *t, struct acpi_info *out)
{
    if (!(acpi_u32(t, FADT_FLAGS) & FADT_FLAG_RESET_REG_SUP))
        return;
    if (t->len <= FADT_RESET_VALUE) {
        acpi_note(out, "FADT: names a reset register, but ends after %lu bytes, before it; ignored", t->len);
        return;
    }
    u8 space = acpi_u8(t, FADT_RESET_REG);
    u64 address = acpi_u64(t, FADT_RESET_REG + 4);
    if (space > GAS_PCI || address == 0 || (space == GAS_IO && address > 0xffff)) {
        acpi_note(out, "FADT: reset register 0x%lx in address space %u is not possible; ignored", address,
                  space);
        return;
    }
    out->have_reset = true;
    out->reset_space = space;
    out->reset_address = address;
    out->reset_value = acpi_u8(t, FADT_RESET_VALUE);
}

static void parse_dsdt(const struct acpi_table *fadt, acpi_map_fn map, struct acpi_info *out)
{
    struct acpi_table dsdt;
    u64 address = acpi_u64(fadt, FADT_X_DSDT);
    if (address == 0)
        address = acpi_u32(fadt, FADT_DSDT);
    if (!acpi_table_open(PADDR(address), map, "DSDT", ACPI_HEADER_BYTES, &dsdt, out))
        return;
    out->have_s5 = acpi_find_s5(&dsdt, &out->slp_typ_s5a, &out->slp_typ_s5b);
    if (!out->have_s5)
        acpi_note(out, "DSDT: no \\_S5 package of the usual form; power-off by ACPI is not possible");
}

void acpi_parse_fadt(const struct acpi_table *t, acpi_map_fn map, struct acpi_info *out)
{
    u32 flags = acpi_u32(t, FADT_FLAGS);
    out->have_fadt = true;
    parse_reset(t, out);
    if (flags & FADT_FLAG_HW_REDUCED) {
        acpi_note(out, "FADT: hardware-reduced machine; no PM timer, and no power-off by ACPI");
        return;
    }
    out->pm_timer_port = fadt_port(t, FADT_PM_TMR, FADT_X_PM_TMR, "the PM timer", out);
    out->pm_timer_32bit = (flags & FADT_FLAG_TMR_VAL_EXT) != 0;
    out->smi_cmd = fadt_port(t, FADT_SMI_CMD, t->len, "SMI_CMD", out);
    out->acpi_enable = acpi_u8(t, FADT_ACPI_ENABLE);
    out->pm1a_cnt = fadt_port(t, FADT_PM1A_CNT, FADT_X_PM1A_CNT, "PM1a_CNT", out);
    out->pm1b_cnt = fadt_port(t, FADT_PM1B_CNT, FADT_X_PM1B_CNT, "PM1b_CNT", out);
    parse_dsdt(t, map, out);
}
