/* Shell commands: one table entry each, anywhere in kernel/, bench/ or tests/.
 *
 *   static void cmd_stat(int argc, char **argv) {...}
 *   COMMAND(stat, "stat [NAME]", "counters of all CPUs", cmd_stat); */
#pragma once

#include "lib/table.h"

struct command {
    const char *name, *usage, *help;
    void (*fn)(int argc, char **argv); /* thread on CPU 0; argv[0] is the name; argc < 16 */
    /* NULL, or tells Tab the words that can follow the name. */
    void (*words)(void (*offer)(void *arg, const char *word), void *arg);
};
TABLE_DECLARE(command, struct command);
#define COMMAND(ident, usage_, help_, fn_)                                                                   \
    TABLE_ENTRY(command, struct command,                                                                     \
                command_##ident) = {.name = #ident, .usage = usage_, .help = help_, .fn = fn_}
/* The same with `words`. */
#define COMMAND_WITH_WORDS(ident, usage_, help_, fn_, words_)                                                \
    TABLE_ENTRY(command, struct command, command_##ident) = {                                                \
        .name = #ident, .usage = usage_, .help = help_, .fn = fn_, .words = words_}
