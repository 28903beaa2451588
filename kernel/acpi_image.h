/* ACPI tables out of a file, in the place of the firmware's: for machines whose own are broken, and for tests. The file is a
 * piece of physical memory with the tables in it, as tools/acpi-image makes it; the boot loader passes it as the module `acpi`.
 *
 *     0   "VLYACPI1"
 *     8   u64   physical address that the first byte after this head stands for; the tables' pointers are meant so
 *     16  u32   offset of an RSDP of 20 bytes in what follows, or 0xffffffff: there is none
 *     20  u32   offset of an RSDP of 36 bytes, likewise
 *     24  u64   0
 *     32        the memory
 *
 * Pure: the host feeds it anything. */
#pragma once

#include "lib/boot_info.h"
#include "lib/types.h"

#define ACPI_IMAGE_MAGIC "VLYACPI1"
#define ACPI_IMAGE_HEAD  32u

struct acpi_image {
    const u8 *bytes;
    u64 base, len; /* the bytes of [base, base + len); base + len does not wrap */
};

/* Reads the head, and puts the root pointers into *boot in the place of those that it has. NULL; or what is wrong: then *out
 * and *boot are as before. The file's bytes stay in use. */
const char *acpi_image_open(const u8 *file, u64 size, struct acpi_image *out, struct boot_info *boot);

/* The bytes at physical [p, p + bytes), all of them in the image; NULL: they are not. */
const void *acpi_image_at(const struct acpi_image *image, paddr_t p, u64 bytes);
