/* Kernel command line: `key=value` words. A file that wants a key places an entry; nobody keeps a list.
 *
 *   static const char *set_pages(const char *value) {...  return NULL; or a sentence on what is allowed }
 *   PARAM(pages, "pages", "pages=N[,N...]  pages for each shootdown, 1 .. 512", set_pages);
 *
 * kernel/cmdline.c parses the line before anything is measured. An unknown key, or a value that its function refuses, is
 * named on the console with the allowed ones; it is never ignored, and the boot goes on with the default. A key without
 * "=value" gets the empty string. The same functions serve `set key=value` at the prompt. */
#pragma once

#include "lib/table.h"

struct param {
    const char *key, *help;
    const char *(*set)(const char *value); /* NULL: taken; else what is allowed, to be printed */
};
TABLE_DECLARE(param, struct param);
#define PARAM(ident, key_, help_, set_)                                                                      \
    TABLE_ENTRY(param, struct param, param_##ident) = {.key = key_, .help = help_, .set = set_}

/* Helpers for set functions (lib/param.c). Numbers: decimal or 0x hex, with no more after them. */
bool parse_u64(const char *s, u64 *out);
bool parse_on_off(const char *s, bool *out); /* on, off, yes, no, 1, 0; "" is on */
/* "1,4,10" or "2-4,8" into out, at most max numbers, each in lo .. hi; the count, or 0 if anything is wrong. */
u32 parse_u64_list(const char *s, u64 *out, u32 max, u64 lo, u64 hi);
