/* What boot/ tells kmain: plain data, copied out of firmware and boot-loader memory, no pointer back into it. */
#pragma once

#include "lib/types.h"

#define BOOT_CMDLINE_MAX 1024u
#define BOOT_MEMMAP_MAX  256u /* UEFI machines have been seen with over 150 ranges */
#define BOOT_MODULES_MAX 16u
#define BOOT_NOTES_MAX   16u

enum boot_mem_type {
    BOOT_MEM_USABLE = 1,
    BOOT_MEM_RESERVED = 2,
    BOOT_MEM_ACPI = 3,
    BOOT_MEM_NVS = 4,
    BOOT_MEM_BAD = 5
};

struct boot_mem_range {
    paddr_t start;
    u64 size; /* bytes; never 0, start + size never wraps */
    u32 type; /* enum boot_mem_type; an unknown number counts as reserved */
};

struct boot_module {
    paddr_t start;
    u64 size;
    char name[64];
};

/* Modules that are no programs: replacements for what the machine itself says. */
#define BOOT_MODULE_ACPI  "acpi"             /* ACPI tables: kernel/acpi_image.h */
#define BOOT_MODULE_BLOCK "boot-information" /* a block of multiboot2 tags: boot/boot.c */

struct boot_framebuffer {
    paddr_t base;
    u32 pitch, width, height;
    u8 bpp, type; /* type: 0 indexed, 1 RGB, 2 EGA text (multiboot2 specification, section 3.6.12) */
    u8 red_pos, red_size, green_pos, green_size, blue_pos, blue_size;
};

struct boot_info {
    char cmdline[BOOT_CMDLINE_MAX];
    char loader[64];
    struct boot_mem_range mem[BOOT_MEMMAP_MAX];
    u32 mem_count;
    struct boot_module modules[BOOT_MODULES_MAX];
    u32 module_count;
    u8 rsdp_v1[20], rsdp_v2[36]; /* copies of the ACPI root pointer structures */
    bool have_rsdp_v1, have_rsdp_v2, have_framebuffer, efi;
    struct boot_framebuffer framebuffer;
    paddr_t efi_system_table; /* 0 if none */
    /* What was wrong with the boot information, in words; kmain logs them. fatal: too little is left to go on. */
    char notes[BOOT_NOTES_MAX][112];
    u32 note_count;
    bool fatal;
    /* The AP trampoline (boot/trampoline.asm): position-independent, starts at byte 0, ends with struct ap_params. */
    const void *trampoline;
    u32 trampoline_size, trampoline_params_offset, trampoline_mailbox_offset;
    /* Physical range of the loaded kernel, page aligned, with its bss and boot stack. */
    paddr_t kernel_start, kernel_end;
};

/* The module whose first word is `name`; NULL: there is none. Any context. */
const struct boot_module *boot_module_find(const struct boot_info *boot, const char *name);
/* Whether it is one of those above, and not a program. */
bool boot_module_is_data(const struct boot_module *m);

/* Where boot/ ends and kernel/ begins (kernel/main.c): boot CPU, interrupts off, boot page tables, boot stack. */
NORETURN void kmain(const struct boot_info *info);
