/* What the kmap*.c files share. */
#pragma once

#include "lib/types.h"

/* Kernel mappings are global where the CPU can: they are the same in all spaces. */
u32 kmap_prot(u32 prot);

/* Lists the page at `guard` as unmapped on purpose, under a stack. ERR_FULL. */
err_t kmap_add_guard(vaddr_t guard) MUST_CHECK;
void kmap_name_guard(vaddr_t guard, const char *name);

/* Frees table pages that kmap_free_pages has unlinked, once no CPU can walk them. */
void kmap_free_parked_tables(void);
