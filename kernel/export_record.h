/* JSON Lines with less and less in them, for where each byte costs (kernel/export.c). Pure. */
#pragma once

#include "lib/types.h"

/* How much is left out: each level what those below it leave out, and more. docs/usb-stick.md has the list. */
#define EXPORT_LEVELS 6u

/* The record `line` (n bytes of lib/json.h's making) at a level 1 .. EXPORT_LEVELS; out has room for n bytes. How many were written, or 0 if
 * the whole record is left out. Without a line feed. */
size_t export_record(const char *line, size_t n, u32 level, char *out);
