/* Lines on the console. */
#pragma once

#include <stdarg.h>

#include "user/lib/types.h"

#define SAY_MAX 256u /* longer lines are cut */

/* One line, through SYS_LOG, which puts the program's name in front. Formats: %s %d %u %x, with l or ll and a width with leading
 * blanks or zeros; %%. */
void say(const char *format, ...) PRINTF(1, 2);
void vsay(const char *format, va_list ap);
/* The same into memory, cut to size and ended by a 0; returns its length. */
u32 vprint(char *out, u32 size, const char *format, va_list ap);
/* "fault", ...: the name of a system call's negative result; a number has none. */
const char *sys_error_name(s64 result);
