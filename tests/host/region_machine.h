/* A machine for regions: real frames, page tables, spaces' operations and regions; tickets of its own (mm/ticket.c needs messages), and
 * CPUs with TLBs that forget nothing but what a shootdown or an INVLPG names.
 *
 * Each CPU may go on using what it has cached until the very flush, and does: before a ticket flushes, `before_flush` is called. After
 * each operation machine_check() compares every cached entry with the tables: an entry that grants what they do not is a missing flush. */
#pragma once

#include "mm/space.h"
#include "tests/host/host.h"

#define MACHINE_CPUS    4u
#define MACHINE_ENTRIES 96u

struct cached {          /* a TLB entry */
    struct space *space; /* NULL: unused */
    vaddr_t va;
    u64 size, pa;
    bool write, dirty;
};
struct machine_cpu {
    struct space *loaded;
    struct cached tlb[MACHINE_ENTRIES];
    u32 next;
};
extern struct machine_cpu machine_cpu[MACHINE_CPUS];

/* Frames of 64 MiB of memory, once for a program. */
void machine_start(void);
u64 machine_free_frames(void);
struct space *machine_space(void); /* NULL: no memory */
/* After region_destroy_all: checks that nothing is left, and frees it. */
void machine_space_end(struct space *s);
/* Called by ticket_close when somebody has to forget something, before anyone does; NULL: nothing. */
extern void (*machine_before_flush)(struct space *s);
extern u64 machine_flushes;
/* What an unmap gives up stays parked, and charged, until an operation meets its range, or somebody waits for it. Off in machine_start. */
extern bool machine_defers;
/* Every cached entry grants no more than the tables of its space do. */
void machine_check(void);

/* CPU c, which has s loaded, uses va: by what it has cached, else by a walk, else by a fault. False: refused, or no memory
 * (*nomem). *pa: what it reached. */
bool machine_use(u32 c, struct space *s, vaddr_t va, bool write, u64 *pa, bool *nomem);
/* What CPU c has cached of va; NULL: nothing. */
struct cached *machine_cached(u32 c, const struct space *s, vaddr_t va);
