#include "kernel/acpi_read.h"

#include "kernel/acpi_image.h"
#include "lib/log.h"
#include "mm/kmap.h"
#include "mm/layout.h"

static struct acpi_image image;

static const void *map_firmware(paddr_t p, u64 bytes)
{
    return kmap_phys(p, bytes, PT_READ);
}

/* An image is the whole truth: its pointers mean nothing in this machine's own memory. */
static const void *map_image(paddr_t p, u64 bytes)
{
    return acpi_image_at(&image, p, bytes);
}

void acpi_read(const struct boot_info *boot, struct acpi_info *out)
{
    /* A copy, as the root pointers that boot/ found are to stay: large, so it is not on the stack. */
    static struct boot_info replaced;
    const struct boot_module *m = boot_module_find(boot, BOOT_MODULE_ACPI);
    const char *wrong = NULL;

    if (m) {
        replaced = *boot;
        wrong = acpi_image_open(phys_to_virt(m->start), m->size, &image, &replaced);
        if (wrong)
            log_warn("ACPI: the boot module \"%s\" is not used: %s", BOOT_MODULE_ACPI, wrong);
        else
            log_info("ACPI: tables from the boot module \"%s\" (%llu bytes), not the firmware's",
                     BOOT_MODULE_ACPI, (unsigned long long)m->size);
    }
    if (m && !wrong)
        acpi_parse(&replaced, map_image, out);
    else
        acpi_parse(boot, map_firmware, out);
    for (u32 i = 0; i < out->note_count; i++)
        log_warn("ACPI: %s", out->notes[i]);
    if (out->notes_lost)
        log_warn("ACPI: %u more oddities, for which there was no room", out->notes_lost);
}
