/* The console: the serial port and the emulators' debug port as sinks of the log (the screen is dev/screen.c), and
 * what is typed, on the keyboard or behind the serial line. */
#pragma once

#include "lib/types.h"

/* Boot CPU, once, before the first line of text: finds what there is and registers it. With neither of them all text
 * goes to the log's ring alone. */
void console_init(void);

/* Boot CPU, once, when waits have a clock: the keyboard. */
void console_init_keyboard(void);

/* Whether there is a serial port that text goes to. */
bool console_has_serial(void);
/* Whether anybody can type: there is a serial port, or a keyboard. */
bool console_can_read(void);
/* The next byte that was typed, or -1. Boot CPU, THREAD; does not wait. */
int console_poll(void);
/* Waits for the next byte, the CPU halted in between; messages are served. Boot CPU, THREAD, interrupts on. */
u8 console_read(void);
/* Until all output has left the machine, or a bounded time has passed. Any context. */
void console_flush(void);

/* The run as a whole. A failed test, a benchmark that was refused, an aborted shootdown: whoever sees one says so here, in a
 * sentence that is logged, and the end record will have "ok":false. Any context but NMI. */
void console_fail(const char *fmt, ...) PRINTF(1, 2);

/* Prints the last record, {"volley":1,"type":"end","ok":...}, once (again: nothing), and returns what it said: ok, and no
 * console_fail(), and no error on the command line; for power_off(). A run that was told something it did not understand
 * was not the run that was asked for, so its exit status says so, though the boot went on. */
bool console_end(bool ok);
