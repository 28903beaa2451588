/* Responders of the shootdown benchmark: CPUs that keep a range's translations cached while the initiator takes them away. */
#pragma once

#include "kernel/abi/workload.h"
#include "lib/cpumask.h"
#include "mm/space.h"

struct process;

enum responder_kind {
    RESPONDER_RING3, /* threads of a real process: the program `responder`, touching its pages */
    RESPONDER_KERNEL, /* a loop in the kernel, in a space of its own, touching supervisor pages of the lower half */
    RESPONDER_IDLE, /* in the space, waiting as an idle CPU does (idle=): what it costs to wake them */
    RESPONDER_LAZY, /* have gone on to a kernel loop and only borrow the space: to be told nothing, and to catch up */
    RESPONDER_KINDS,
};
const char *responder_kind_name(enum responder_kind k);

struct responders {
    enum responder_kind kind;
    bool outside;            /* the initiator does not have the space loaded */
    struct space *space;     /* the responders' */
    struct process *process; /* RING3: whose space it is */
    struct workload *ring3;  /* RING3: the pages shared with it */
    vaddr_t start;           /* the range under test: touched once a round, when the initiator says so */
    u64 pages;
    vaddr_t busy;             /* one page that stays mapped: touched all the time */
    cpumask_t cpus;           /* where they run */
    u32 count;                /* how many */
    u64 rounds_before;        /* what `round` was when the responders were started */
    u64 round CACHE_ALIGNED;  /* raised by the initiator: touch the whole range once */
    u64 cached CACHE_ALIGNED; /* responders that have done so in this round */
    bool stop CACHE_ALIGNED;  /* they are to end */
};

/* Makes the space, of the process for RING3, without a page in it; the initiator then has it loaded, or not, as r->outside says. ERR_ABSENT:
 * there is no program `responder`; ERR_NOMEM and other errors of process_create. THREAD, CPU 0. */
err_t responders_open(struct responders *r, enum responder_kind kind, bool outside) MUST_CHECK;
/* Destroys it again. No responder runs. */
void responders_close(struct responders *r);
/* What a page of the range must allow beside what the benchmark wants: PT_USER for RING3. */
u32 responders_right(const struct responders *r);

/* Starts one on each of `count` CPUs beside the initiator's; r->start, pages and busy are set and the busy page is mapped. After an error
 * responders_stop is called all the same. */
err_t responders_start(struct responders *r, u32 count) MUST_CHECK;
/* Ends them, and waits for their end; panics if one does not. */
void responders_stop(struct responders *r);
/* Starts a round and waits until each responder, of whom there may be none, and the initiator unless it is outside, has every translation of
 * the range cached, and until IDLE and LAZY ones are halted or gone on. */
void responders_cache(struct responders *r);
