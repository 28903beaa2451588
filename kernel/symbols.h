/* The kernel's own symbol table, built in by a second link (tools/gen-symtab). */
#pragma once
#include "lib/types.h"

/* The function that holds addr, and addr's distance from its start; NULL if it is no kernel text. Any context. */
const char *symbol_name(u64 addr, u64 *offset);
