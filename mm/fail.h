/* Allocations that are refused on purpose: the Nth from now on, once, whatever it is for. For fault=alloc:N and the sweeps of
 * tests/alloc_failure.c, which make every allocation of an operation fail in turn.
 *
 * Each allocator asks fail_here() where it is slow anyway: single frames come from the CPUs' caches without it, so those are turned
 * off meanwhile (frame_cache_use). */
#pragma once

#include "lib/atomic.h"
#include "lib/types.h"

struct fail {
    u64 left;    /* allocations until the refused one, that one included; 0: none is refused */
    u64 refused; /* so far */
    /* Called in the refused one, in its context, with locks held: it may look at the stack, and no more. NULL: nobody does. */
    void (*hook)(const char *what);
};
extern struct fail fail; /* mm/frame.c */

bool fail_count(const char *what);

/* True: this allocation is to fail. `what`: of what, for reports. Any context but NMI. */
static ALWAYS_INLINE bool fail_here(const char *what)
{
    return unlikely(atomic_load_relaxed(&fail.left)) && fail_count(what);
}
