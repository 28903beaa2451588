/* The loaded image: symbols that linker.ld defines. Their addresses count, not their contents. */
#pragma once

#include "lib/types.h"

/* Physical range of all of it, boot code and bss included; the addresses are the values. Page aligned. */
extern const char image_phys_start[], image_phys_end[];

/* Kernel virtual, page aligned. text | rodata | data | bss lie in this order without holes; physical = virtual less
 * KERNEL_BASE (mm/layout.h). The 32-bit boot code lies below text and is not needed any more. */
extern char kernel_text_start[], kernel_text_end[];     /* to be mapped R-X */
extern char kernel_entry_start[], kernel_entry_end[];   /* in it: the code that ring 3 enters by */
extern char kernel_rodata_start[], kernel_rodata_end[]; /* R-- */
extern char kernel_data_start[], kernel_data_end[];     /* RW-, with the per-CPU image */
extern char kernel_bss_start[], kernel_bss_end[];       /* RW- */

/* The stack that boot/ and then kmain run on; kmap_init unmaps the page at boot_stack_guard. */
extern char boot_stack_guard[], boot_stack_bottom[], boot_stack_top[];

/* Instructions that may fault (section .extable), and call sites patched at boot (section .patch_sites). */
extern const u64 extable_start[][2], extable_end[][2];       /* address of the instruction, where to go on */
extern const u64 smap_sites_start[][2], smap_sites_end[][2]; /* section .smap_sites: kernel/entry.inc */
extern const u64 patch_sites_start[][3], patch_sites_end[][3];
