/* The kernel command line: words key=value, given to the tables of lib/param.h.
 *
 * Words end at blanks. "..." keeps blanks inside a word, \ takes the next character as it is: so GRUB hands on what was
 * quoted in its own configuration. A first word that begins with / or ( is the kernel's path, which some loaders put there. */
#pragma once

#include "lib/types.h"

/* Boot CPU, once, after console_init and before anything asks for a setting. Every word that is not understood is named on
 * the console with what is allowed, and counted; the boot goes on with the default. */
void cmdline_parse(const char *line);
u32 cmdline_errors(void);
/* The word `quit` was there: power off after the work that the command line asks for. */
bool cmdline_quit(void);

/* One setting, as from the line; false if it was refused, with the reason on the console. Not counted: the `set` command. */
bool cmdline_set(const char *key, const char *value);
/* All keys with their help, as a table. */
void cmdline_help(void);

/* Takes the next word out of the text at *at, in place: quotes and backslashes gone, 0-terminated. *at moves on; false at the
 * end. *torn: a quote was never closed, or the text ended in a backslash. */
bool cmdline_word(char **at, char **word, bool *torn);
