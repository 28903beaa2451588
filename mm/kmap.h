/* Kernel virtual memory: the final kernel tables, MMIO windows, and stacks with guard pages.
 *
 * What is mapped here stays for ever and is only ever added: only where memory runs out half-way, and in tests, are pages
 * taken back, by a shootdown of kernel_space. Kernel ranges that change at run time are kmap_reserve's; kernel_space
 * (mm/space.h) maps and unmaps them, under its own lock.
 *
 * Context: THREAD or IRQ-OFF on any CPU, unless said otherwise. */
#pragma once

#include "lib/boot_info.h"
#include "mm/pt.h"

extern struct pt kernel_pt; /* root of the kernel half; every space's root shares its upper 256 entries */

/* Boot CPU, once, after frame_init: builds the final tables (image by section with W^X, direct map of all RAM, no
 * identity map, no user half, guard under the boot stack), allocates all kernel-half PML4 entries so that spaces
 * can share them by copying, loads them, and gives memory above 4 GiB to the frame allocator. */
void kmap_init(const struct boot_info *info);

/* Maps physical memory that is not RAM (MMIO: PT_UNCACHED) or firmware tables; any alignment and length > 0. prot:
 * no PT_USER, PT_EXEC, PT_OWNED; PT_GLOBAL is added by itself. NULL: no memory, no address range left, or an
 * address that this CPU does not have. Never unmapped. */
void *kmap_phys(paddr_t p, u64 bytes, u32 prot);

/* n fresh zeroed pages, virtually contiguous, RW, NX, with an unmapped guard page below. Returns the lowest
 * address, NULL if out of memory. THREAD, where other CPUs are online: what is half-done then is told to all. */
void *kmap_pages(u64 n, u16 owner);
/* Unmaps what kmap_pages or kmap_stack (its lowest address, not the top) returned and frees the frames, when all CPUs have
 * forgotten them: THREAD, where others are online. The address range is not used again. */
void kmap_free_pages(void *lowest, u64 n);

/* Address range for n pages, aligned to 2 MiB if it is that long, with at least one page before and behind that stays
 * unmapped; nothing is mapped. 0: none is left (512 GiB in all). Not given back. Any context but NMI. */
vaddr_t kmap_reserve(u64 pages);

/* Highest address of a fresh guarded stack of KSTACK_SIZE bytes, 16-byte aligned; 0 if out of memory. As kmap_pages. */
#define KSTACK_SIZE (16 * KIB)
u64 kmap_stack(void);
/* If va is in the guard page under a kernel stack, the stack's name ("boot", "cpu 3 NMI", ...): else NULL. Any
 * context, NMI and double fault included. */
const char *kmap_guard_name(vaddr_t va);
/* Names it, cut to 23 characters. Whoever created the stack, before anyone runs on it. */
void kmap_name_stack(u64 stack_top, const char *fmt, ...) PRINTF(2, 3);

/* `count` stacks in a row from `start` on, the first page of each `stride` bytes being its guard: all have one name, and need not be
 * mapped. Once. */
void kmap_guard_area(vaddr_t start, u64 stride, u32 count, const char *name);

/* Walks the loaded tables and counts what must not be: writable and executable, user bit in the kernel half,
 * executable outside text, the kernel's rodata writable under any address, anything in the user half. 0 is right;
 * the first findings are logged. With no space loaded. */
u32 kmap_check_wx(void);
