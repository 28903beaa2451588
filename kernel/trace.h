/* `trace`: the last shootdowns as timelines, initiator and responders side by side.
 *
 * Events are taken at the stop points of lib/stop_point.h, which stand at the steps of the path, so that a kernel without a
 * trace pays for no sites of its own. Each CPU has a ring of events; times are by its own TSC. */
#pragma once

#include "lib/stop_point.h"

struct trace_event {
    u64 tsc;
    cpu_t cpu;
    enum stop_point point;
};

/* One shootdown that is whole in the rings: from the change of the tables until memory may be given back. */
struct trace_shootdown {
    cpu_t initiator;
    u64 begin, end; /* TSC */
    u64 until;      /* what other CPUs did before this may belong to it: the initiator's next change, or ~0 */
};

/* Switches the points on and begins to record (stop_begin: what a test had set there is forgotten), and ends it. THREAD. */
err_t trace_start(void) MUST_CHECK;
void trace_stop(void);
bool trace_is_on(void);

/* The newest `max` shootdowns in the rings, the oldest of them first; how many. Nothing may be recorded meanwhile. */
u32 trace_find(struct trace_shootdown *out, u32 max);
/* The first event of s after *at (0: from its beginning) in time, over all CPUs; false: no more. *at becomes its place. Of the
 * other CPUs, what they did as targets. */
struct trace_cursor {
    u64 next[MAX_CPUS];                   /* by CPU: event number to look at; 0 at first */
    bool found[MAX_CPUS], over[MAX_CPUS]; /* where a target's part begins; that it has ended */
};
bool trace_next(const struct trace_shootdown *s, struct trace_cursor *c, struct trace_event *out);
