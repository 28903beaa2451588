#include "kernel/acpi_image.h"

#include "lib/string.h"

#define NO_RSDP 0xffffffffu

static u64 field(const u8 *p, u32 bytes)
{
    u64 v = 0;
    for (u32 i = bytes; i-- > 0;)
        v = v << 8 | p[i];
    return v;
}

/* Whether an RSDP of `bytes` bytes can be where the head says it is. */
static bool fits(u64 len, u32 offset, u32 bytes)
{
    return offset == NO_RSDP || (offset <= len && len - offset >= bytes);
}

const char *acpi_image_open(const u8 *file, u64 size, struct acpi_image *out, struct boot_info *boot)
{
    if (size < ACPI_IMAGE_HEAD)
        return "it is shorter than its head of 32 bytes";
    if (memcmp(file, ACPI_IMAGE_MAGIC, 8) != 0)
        return "it does not begin with " ACPI_IMAGE_MAGIC;
    u64 base = field(file + 8, 8), len = size - ACPI_IMAGE_HEAD;
    if (base == 0 || base > ~0ull - len)
        return "its address is 0, or too high for its length";
    u32 v1 = (u32)field(file + 16, 4), v2 = (u32)field(file + 20, 4);
    if (!fits(len, v1, sizeof(boot->rsdp_v1)) || !fits(len, v2, sizeof(boot->rsdp_v2)))
        return "its root pointer lies outside of it";

    *out = (struct acpi_image){file + ACPI_IMAGE_HEAD, base, len};
    boot->have_rsdp_v1 = v1 != NO_RSDP;
    boot->have_rsdp_v2 = v2 != NO_RSDP;
    if (boot->have_rsdp_v1)
        memcpy(boot->rsdp_v1, out->bytes + v1, sizeof(boot->rsdp_v1));
    if (boot->have_rsdp_v2)
        memcpy(boot->rsdp_v2, out->bytes + v2, sizeof(boot->rsdp_v2));
    return NULL;
}

const void *acpi_image_at(const struct acpi_image *image, paddr_t p, u64 bytes)
{
    if (p.v < image->base || p.v - image->base > image->len || image->len - (p.v - image->base) < bytes)
        return NULL;
    return image->bytes + (p.v - image->base);
}
