/* Responders of the shootdown benchmark: CPUs that keep a range's translations cached while the initiator takes them away. */
#pragma once

#include "mm/space.h"

struct responders {
    struct space *space; /* loaded while they run; NULL for a kernel range */
    vaddr_t start;       /* the range under test: touched once a round, when the initiator says so */
    u64 pages;
    vaddr_t busy;             /* one page that stays mapped: touched all the time */
    u64 rounds_before;        /* what `round` was when the responders were started */
    u64 round CACHE_ALIGNED;  /* raised by the initiator: touch the whole range once */
    u32 cached CACHE_ALIGNED; /* responders that have done so in this round */
};

/* The loop of one responder, for bench_occupy; arg is the struct responders that all share. */
void responder_loop(void *arg);
/* Starts a round and waits until `count` responders have every translation of the range cached. */
void responders_cache(struct responders *r, u32 count);
