/* One cell of the shootdown benchmark: (operation, CPUs, pages, policy). bench/shootdown.c goes over the grid of them,
 * bench/shootdown_cell.c measures one, bench/shootdown_round.c runs one round of it and holds the evidence that it had an effect. */
#pragma once

#include "bench/bench.h"
#include "bench/responders.h"
#include "lib/assert.h"
#include "lib/cpumask.h"
#include "mm/space.h"

#define SHOOTDOWN_PAGES_MAX 512u

struct shootdown_cell {
    const char *bench;                     /* that it belongs to: for its records */
    const char *op;                        /* "unmap", "protect", "remap" or "kernel" */
    const struct shootdown_policy *policy; /* in force: what was asked for */
    struct responders *responders;         /* busy with the range; nobody if cpus is 1 */
    struct space *space;
    vaddr_t start;
    u64 pages; /* 1 .. SHOOTDOWN_PAGES_MAX */
    u32 cpus;  /* the initiator included */

    /* Counted over the measured operations, since shootdown_rounds_begin. */
    u64 shootdowns; /* one or more an operation */
    u64 routed;     /* of these, served by a stronger policy than the one in force */

    /* What shootdown_cell_measure found. */
    const struct shootdown_policy *served_by; /* NULL: refused */
    u64 p50;                                  /* initiator, ticks; 0 if refused */
    u64 operations, icr, irqs;                /* of all of them, the warm-up included */
};

/* A step that the benchmark cannot go on without. */
static inline void must_work(err_t e, const char *what)
{
    if (e != ERR_OK)
        panic("shootdown benchmark: %s: %s", what, err_name(e));
}

/* Is this CPU one that has the range cached, and must not have it any more? LAZY ones forget it when they come back to the space. */
static inline bool shootdown_is_responder(const struct shootdown_cell *c, cpu_t cpu)
{
    return c->cpus > 1 && cpumask_test(&c->responders->cpus, cpu);
}

/* Measures c and prints its records; the policy is in force and the responders run. THREAD. A cell whose operations did not
 * have their effect, or did not all take the same path, is refused. */
void shootdown_cell_measure(struct bench_run *b, struct shootdown_cell *c);

/* ---- rounds (bench/shootdown_round.c), in this order: rounds_begin; cache, operate, restore for each; rounds_end ---- */

/* Maps the range and notes what has been counted so far. */
void shootdown_rounds_begin(struct shootdown_cell *c);
/* Waits until the initiator and every responder have the range's entries in their TLBs, and are out of their handlers. */
void shootdown_round_cache(struct shootdown_cell *c);
/* The measured operation, once. Its ticks on the initiator, and whether the tables say that it was done. */
bool shootdown_round_operate(struct shootdown_cell *c, u64 *ticks);
/* Undoes it: the range is mapped and writable again. */
void shootdown_round_restore(struct shootdown_cell *c);
/* Unmaps the range. */
void shootdown_rounds_end(struct shootdown_cell *c);

/* Since shootdown_rounds_begin: a CPU that has not flushed the range in each of `rounds`; CPU_NONE if all have. */
cpu_t shootdown_find_unflushed(const struct shootdown_cell *c, u64 rounds);
/* The policy that served all the shootdowns counted in c; NULL if some were routed and some were not. */
const struct shootdown_policy *shootdown_served_by(const struct shootdown_cell *c);
