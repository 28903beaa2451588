/* Firmware gone wrong, in the two forms that the kernel reads from boot modules: images of ACPI tables (kernel/acpi_image.h) and
 * blocks of multiboot2 tags. A number makes always the same one. */
#pragma once

#include "tests/host/host.h"

struct mutant {
    u8 *bytes; /* on the heap, exactly as long as filled; the caller frees it */
    u32 size;
};

/* n == 0: the good image, of a machine with two CPUs whose timer and power registers are where QEMU's q35 has them. */
struct mutant mutant_acpi(u32 n);
/* n == 0: the good block, with the memory map of that machine with 512 MiB. */
struct mutant mutant_block(u32 n);
