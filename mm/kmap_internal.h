/* What the kmap*.c files share. */
#pragma once

#include "lib/types.h"

/* Kernel mappings are global where the CPU can: they are the same in all spaces. */
u32 kmap_prot(u32 prot);

/* Lists the page at `guard` as unmapped on purpose, under a stack. ERR_FULL. */
err_t kmap_add_guard(vaddr_t guard) MUST_CHECK;
void kmap_name_guard(vaddr_t guard, const char *name);

/* The table pages that were unlinked since the last call, under kmap_area.c's lock: a list of frame numbers. The caller frees them
 * once no CPU can walk them. */
u32 kmap_take_parked_tables(void);
void kmap_free_tables(u32 list);
