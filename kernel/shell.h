/* The prompt on the serial console. */
#pragma once

#include "lib/types.h"

/* Reads and runs commands (kernel/command.h) until `quit`, then returns. Boot CPU, THREAD. Without a serial port it says that
 * nobody can type, and never returns: the CPU is halted, still serving messages. */
void shell_run(void);
/* Makes shell_run return when the running command has ended: what `quit` does. */
void shell_quit(void);

/* Runs one line of text as if typed: for scripts and tests. False if there is no such command. Changes the text. */
bool shell_execute(char *line);
