/* Playing a race in a chosen order: what a CPU does at the stop points of lib/stop_point.h.
 *
 *   if (stop_begin() == ERR_OK) {
 *       stop_hold(STOP_ACKED, 1);                CPU 1 will stand still between acknowledgement and flush
 *       ... a shootdown is started on CPU 2 ...
 *       stop_wait_held(STOP_ACKED, 1);           now it does
 *       ... look at what is true there ...
 *       stop_release(STOP_ACKED, 1);
 *   }
 *   stop_end();                                  whoever is still held goes on; false: something took too long
 *
 * One test at a time. All waits are bounded: a CPU that is held too long goes on, and stop_end says so. */
#pragma once

#include "lib/stop_point.h"

/* Forgets what was set, clears the counts, and switches the points on (patch_set: no other CPU may be held, or have its
 * interrupts off). THREAD. */
err_t stop_begin(void) MUST_CHECK;
/* Between stop_begin and stop_end: lets all go on, forgets what was set, and clears the counts. Any context. */
void stop_clear(void);
/* Lets all go on and switches the points off again. False: a CPU was held longer than the limit, or the points stay on;
 * stop_why says what. THREAD. */
bool stop_end(void);
bool stop_is_overdue(void); /* something has taken too long since stop_begin: see stop_why */
const char *stop_why(void);

/* The next time that `cpu` comes to the point, it stays there, spinning in that context, until released. Any context. */
void stop_hold(enum stop_point p, cpu_t cpu);
void stop_release(enum stop_point p, cpu_t cpu);
bool stop_is_held(enum stop_point p, cpu_t cpu);
/* Until it is held there; false after the limit. Any context in which the CPU can come there meanwhile. */
bool stop_wait_held(enum stop_point p, cpu_t cpu) MUST_CHECK;

/* Each time that `cpu` comes to the point it calls fn(arg) there, in the context of the point, before it may be held; NULL: no
 * more. fn runs while the point is not counted yet. */
void stop_call(enum stop_point p, cpu_t cpu, void (*fn)(void *arg), void *arg);

/* From now on (any context) `then_cpu` does not go past `then` before `first_cpu` has gone past `first` once more. */
void stop_order(enum stop_point first, cpu_t first_cpu, enum stop_point then, cpu_t then_cpu);

/* How often the CPU has gone past the point since stop_begin. */
u64 stop_passes(enum stop_point p, cpu_t cpu);

/* Called first of all at every point, whatever a test has set; NULL: nobody. For the trace (kernel/trace.h). */
extern void (*stop_observer)(enum stop_point p);

const char *stop_name(enum stop_point p);
const char *stop_what(enum stop_point p);
