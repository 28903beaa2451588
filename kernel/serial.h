/* The first serial port: a 16550 at I/O port 0x3f8, 115200 baud, 8 data bits, no parity, 1 stop bit, polled.
 * Manual: National Semiconductor PC16550D data sheet, section 8 (registers). */
#pragma once

#include "lib/types.h"

/* False if no UART answers there. Boot CPU, once. */
bool serial_init(void);
/* Each \n goes out as \r\n. Waits for room a bounded time; a port that never has any loses text, not the machine.
 * Any context; callers keep two calls apart (the log's lock does). */
void serial_write(const char *text, size_t n);
/* The next byte received, or -1. */
int serial_read(void);
/* Until the last bit is on the line; bounded. */
void serial_flush(void);
