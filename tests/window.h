/* Addresses that tests may map. Nobody else uses them.
 *
 * Bochs' TLBs are direct-mapped by page number, 2048 entries for data and 1024 for code. So these pages have numbers that
 * neither the kernel image (which begins at page 0x100 of its 4 MiB) nor the stacks (from page 0 of KMAP on) share, modulo
 * 1024: an aliased page would push the entry out, and a stale one would not be seen. */
#pragma once

#include "mm/layout.h"

#define TEST_USER_VA (0x0000100000000000ull + 0x300 * PAGE_SIZE)
/* In the last GiB of KMAP: ranges are handed out from the other end of that half, the threads' stacks first of all. */
#define TEST_KERNEL_VA (KMAP_BASE + KMAP_SIZE - GIB + 0x300 * PAGE_SIZE)
