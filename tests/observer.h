/* Observers: while a test changes a translation, every other CPU keeps using it, and says what it could still reach.
 *
 *   struct observation x = {.space = s, .va = va, .use = OBSERVE_READ, .before = OLD};
 *   observers_start(&x);          each has the old translation cached now
 *   space_unmap(...);
 *   ... the frame gets a new owner and new content ...
 *   observers_changed(&x);        from here on, reaching anything old is a violation
 *   observers_finish(&x);         violations, faults, ... are filled in
 *
 * The rule that is checked is the same for every change: a CPU that has seen that the operation returned, and then uses the
 * page, must find what the page means now (`after`, or a fault if that is 0); and content that is neither `before` nor `after`
 * must never be found by anyone at any time, which is how the frame's new owner would be betrayed. */
#pragma once

#include "lib/cpumask.h"
#include "mm/space.h"

enum observe_use {
    OBSERVE_READ,    /* a word of the page */
    OBSERVE_WRITE,   /* each CPU its own word, always another value */
    OBSERVE_EXECUTE, /* calls the page: a function that returns a number */
};

struct observation {
    /* in */
    struct space *space; /* loaded by each observer; NULL for a kernel page */
    vaddr_t va;
    enum observe_use use;
    u64 before,
        after; /* content, or number returned; after 0: must fault. Writes: only whether `after` is 0 counts */
    bool
        irqs_off; /* observers take no interrupt for a while, so that nobody can have flushed when a policy that does
                          not wait goes on: the window in which a broken one is caught */
    bool
        idles; /* between two uses they wait as idle CPUs do (idle=): under delivery=mwait a store alone may tell them */
    /* out, by observers_finish */
    u64 violations, uses, faults;
    cpu_t cpu;          /* of the first violation */
    u64 found;          /* what it reached there */
    const char *broken; /* NULL, or why the observation itself went wrong */
    /* between them */
    u32 changed, uses_after;
    cpumask_t observers;
};

/* From now on that many observers, on the first CPUs but the caller's own; MAX_CPUS: on all, as a test finds and leaves it. For tests
 * whose subject is a pair of CPUs. */
void observers_at_most(u32 most);
/* Starts one on every other online CPU, and waits until all have the translation cached. False: see x->broken; observers_finish
 * has to be called all the same. THREAD on CPU 0; x stays valid until observers_finish. */
bool observers_start(struct observation *x);
/* The operation has returned, and whatever the page or its frame was to become, it is. */
void observers_changed(struct observation *x);
/* Waits for the observers to use the page some more and to end, and adds up. x->space is loaded nowhere afterwards, and no
 * message about it is on its way. */
void observers_finish(struct observation *x);

/* The running CPU uses the page once, by the same rule as an observer; the space is loaded by the caller. Counts into x. */
void observe_here(struct observation *x);

/* Content for pages and frames. */
#define OBSERVE_WORDS (PAGE_SIZE / sizeof(u64))
void observe_fill(paddr_t frame, u64 value);         /* every word */
void observe_fill_function(paddr_t frame, u8 value); /* code that returns value */
