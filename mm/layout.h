/* The kernel's half of the virtual address space. docs/memory-map.md shows the same table to readers.
 *
 *   start                 size     what                                                     PML4 slot
 *   0000000000000000      128 TiB  one space's user half (page 0 stays unmapped)            0 - 255
 *   ffff800000000000       64 TiB  direct map of all memory, 2 MiB or 1 GiB pages, no-exec  256 - 383
 *   ffffc00000000000      512 GiB  permanent kernel mappings: MMIO, ACPI tables, stacks     384
 *   ffffc08000000000      512 GiB  reserved ranges, mapped and unmapped at run time         385
 *   ffffffff80000000        2 GiB  the kernel image, 4 KiB pages: text R-X, rodata R--, data RW-   511 */
#pragma once

#include "lib/types.h"

#define USER_START      0x0000000000001000ull
#define USER_END        0x0000800000000000ull
#define KERNEL_HALF     0xffff800000000000ull /* the first canonical address with bit 47 set */
#define DIRECT_MAP_BASE 0xffff800000000000ull
#define DIRECT_MAP_SIZE 0x0000400000000000ull
#define KMAP_BASE       0xffffc00000000000ull
#define KMAP_SIZE       0x0000010000000000ull
#define KERNEL_BASE     0xffffffff80000000ull /* virtual = physical + this, for the image */

/* The two halves of the kmap area are separate PML4 slots because they are changed under different locks: the first
 * by mm/kmap_area.c under its own, the second by kernel_space under its. They share no table but the root, whose
 * entries never change after kmap_init. */
#define KMAP_FIXED_BASE   KMAP_BASE
#define KMAP_FIXED_SIZE   (KMAP_SIZE / 2)
#define KMAP_DYNAMIC_BASE (KMAP_BASE + KMAP_FIXED_SIZE)
#define KMAP_DYNAMIC_SIZE (KMAP_SIZE / 2)

/* How far boot's own tables reach: it maps this much of physical memory one-to-one, and again at DIRECT_MAP_BASE.
 * Until kmap_init has loaded the final tables, phys_to_virt is good for nothing above. */
#define BOOT_MAP_END (4 * GIB)

#ifdef VOLLEY_HOST
void *host_phys_to_virt(paddr_t p);
paddr_t host_virt_to_phys(const void *v);
static inline void *phys_to_virt(paddr_t p)
{
    return host_phys_to_virt(p);
}
static inline paddr_t virt_to_phys(const void *v)
{
    return host_virt_to_phys(v);
}
#else
/* Valid for every byte of RAM that the memory map names (usable, ACPI, NVS), not for MMIO: see mm/kmap.h. The
 * kernel's own rodata can be read there, but not written. */
static inline void *phys_to_virt(paddr_t p)
{
    return (void *)(p.v + DIRECT_MAP_BASE);
}
/* Of an address in the direct map or in the kernel image. */
static inline paddr_t virt_to_phys(const void *v)
{
    u64 a = (u64)v;
    return PADDR(a >= KERNEL_BASE ? a - KERNEL_BASE : a - DIRECT_MAP_BASE);
}
#endif

static inline bool vaddr_is_canonical(vaddr_t va)
{
    return (u64)((s64)(va << 16) >> 16) == va;
}
