/* A root table for the few instructions between an AP's 16-bit start and its first kernel address. */
#pragma once

#include "lib/types.h"

/* A root below 4 GiB, because 32-bit code loads it: the kernel half, and the trampoline page (below 1 MiB, 4 KiB
 * aligned) mapped one to one, writable and executable. ERR_NOMEM. One at a time; thread, boot CPU. */
err_t kmap_ap_root(paddr_t trampoline_page, paddr_t *temp_root) MUST_CHECK;
/* When no AP can have it loaded any more. */
void kmap_ap_root_free(paddr_t temp_root);
