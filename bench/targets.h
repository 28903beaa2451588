/* What one shootdown costs each CPU, by counter: bench/targets.c, which prints it, and tests/shootdown_effort.c, which knows what it has to
 * be. */
#pragma once

#include "lib/cpumask.h"
#include "mm/space.h"

struct target_counts {
    u64 icr;   /* interrupt commands written */
    u64 lines; /* cache lines fetched from other CPUs, or taken from them (lib/cost.h) */
    u64 turns; /* of loops over CPUs */
    u64 sent;  /* messages */
    u64 watched; /* waits for a target that took so long that its message was looked at too: a line and a turn each */
};

/* Around targets_shoot: the sites count. THREAD. */
void targets_count_begin(void);
void targets_count_end(void);

/* Maps one page at va, unmaps it, and writes what that has cost each CPU, by index, until the last target is done. False: no memory, or the
 * page is not gone, here or at a target.
 * If a CPU had anything else to do meanwhile, that is in it. THREAD. */
bool targets_shoot(struct space *s, vaddr_t va, struct target_counts counts[MAX_CPUS]);

/* The tree in which `of` were told, by how many each one told: parts of it are runs of CPUs, told by the first. CPUs that nobody told are not
 * in it. Depth: the longest chain of messages. 0: these counts are no such tree. below[]: how many CPUs each one leads to. */
u32 targets_depth(const cpumask_t *of, const struct target_counts counts[MAX_CPUS], u32 below[MAX_CPUS]);
