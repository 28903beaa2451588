/* Formatting without a buffer: what print() and the log are made of. format() and vformat() are in lib/log.h. */
#pragma once

#include <stdarg.h>

#include "lib/types.h"

/* Hands the formatted text to `out` in pieces of at most 512 bytes, in order; a piece is not 0-terminated. Uses about
 * 1.5 KiB of stack, no other memory; any context. Returns the whole length. */
size_t vformat_pieces(void (*out)(void *arg, const char *text, size_t n), void *arg, const char *fmt,
                      va_list ap);
