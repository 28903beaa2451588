/* Two registers reach all the others: what is written to the select register is seen in the window. Manual: Intel 82093AA data
 * sheet, section 3. */
#include "kernel/ioapic.h"

#include "lib/log.h"
#include "mm/kmap.h"

#define SELECT        (0x00 / 4)
#define WINDOW        (0x10 / 4)
#define REG_VERSION   0x01u
#define REG_LINE(n)   (0x10u + 2 * (n)) /* low half of the redirection entry */
#define LINE_MASKED   (1u << 16)
#define LINE_MODE     (7u << 8)
#define LINE_MODE_SMI (2u << 8)

static volatile u32 *units[ACPI_IOAPICS_MAX];
static u32 unit_count;

static u32 read_register(volatile u32 *unit, u32 n)
{
    unit[SELECT] = n;
    return unit[WINDOW];
}

/* At most 240 (data sheet, section 3.2.2); an absent unit reads all ones. */
static u32 lines_of(volatile u32 *unit)
{
    u32 version = read_register(unit, REG_VERSION);
    u32 lines = (version >> 16 & 0xff) + 1;
    return version == ~0u || lines > 240 ? 0 : lines;
}

static bool may_stay(u32 line)
{
    return (line & LINE_MASKED) || (line & LINE_MODE) == LINE_MODE_SMI;
}

void ioapic_mask_all(const struct acpi_info *acpi)
{
    u32 masked = 0;
    for (u32 i = 0; i < acpi->ioapic_count; i++) {
        volatile u32 *unit = kmap_phys(acpi->ioapic[i].base, 0x20, PT_WRITE | PT_UNCACHED);
        u32 lines = unit ? lines_of(unit) : 0;
        if (!lines) {
            log_warn("I/O APIC at 0x%lx: nothing answers there; its lines stay as they are",
                     acpi->ioapic[i].base.v);
            continue;
        }
        units[unit_count++] = unit;
        for (u32 n = 0; n < lines; n++) {
            u32 line = read_register(unit, REG_LINE(n));
            if (may_stay(line))
                continue;
            unit[SELECT] = REG_LINE(n);
            unit[WINDOW] = line | LINE_MASKED;
            masked++;
        }
    }
    if (masked)
        log_info("I/O APIC: firmware had left %u lines open; masked", masked);
}

u32 ioapic_unmasked(u32 *lines)
{
    u32 open = 0;
    *lines = 0;
    for (u32 i = 0; i < unit_count; i++) {
        u32 n = lines_of(units[i]);
        *lines += n;
        while (n-- > 0)
            open += !may_stay(read_register(units[i], REG_LINE(n)));
    }
    return open;
}
