/* The multiboot2 boot information, read once into plain data. Pure: no hardware, no state, so the host tests it with
 * anything (tests/host/mb2_test.c). */
#pragma once

#include "lib/boot_info.h"
#include "lib/types.h"

/* In EAX on entry (Multiboot2 specification 2.0, section 3.3). */
#define MB2_MAGIC 0x36d76289u

/* Reads the tags of `block`, of which `readable` bytes can be read, into *out, which it clears first. Every length in the
 * block is doubted; what is wrong ends as a note, and as out->fatal when no usable memory map is left. The trampoline and
 * the kernel's own range are not in the block: boot.c fills them in. */
void boot_parse(u32 magic, const void *block, u64 readable, struct boot_info *out);
