/* Text out: printf-style formatting (stb_sprintf), log levels, a ring that keeps the last lines, and sinks that upper
 * rooms register (serial, debug port). Context: THREAD, IRQ-OFF, IPI. Not NMI, but for log_panic_mode(). */
#pragma once

#include <stdarg.h>

#include "lib/types.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* Lines above this level go to the ring only. Set by loglevel= on the command line; LOG_INFO by default. */
extern enum log_level log_level;

struct log_sink {
    void (*write)(const char *text,
                  size_t n); /* any context; must not log; one call at a time but in panic mode */
    struct log_sink *next;
};
void log_add_sink(struct log_sink *s); /* once each, before other CPUs run; s stays registered for ever */

/* The same for a sink that is found later: first it gets what the ring holds, whole lines. While the boot CPU is alone. */
void log_add_sink_with_past(struct log_sink *s);

/* A line with level and time stamp, to the ring and the sinks. The newline is added. */
void log_line(enum log_level l, const char *fmt, ...) PRINTF(2, 3);
#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)

/* Plain output for people and programs: tables, prompts, JSON Lines. Whole calls never interleave. Goes to the sinks, not
 * to the ring: a replay never shows a program the same record twice. Any length. */
void print(const char *fmt, ...) PRINTF(1, 2);
void vprint(const char *fmt, va_list ap);

/* True: what is printed goes nowhere, until false, or a panic; lines of the log still appear. THREAD. */
void print_silence(bool on);

/* snprintf. Returns what the length would have been, like C's. stb_sprintf's formats: %s %c %d %u %x %p %ll %z, plus
 * %' for thousands separators; no floating point in the kernel. %p is 16 hex digits without 0x; a NULL %s is "null". */
int format(char *out, size_t size, const char *fmt, ...) PRINTF(3, 4);
int vformat(char *out, size_t size, const char *fmt, va_list ap);

/* From now on output ignores the lock that a stopped CPU may hold. For panic, any context. */
void log_panic_mode(void);

/* Writes the ring's text to every sink again, oldest line first (the `log` command), debug lines too. */
void log_replay(void);
