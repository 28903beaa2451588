/* Physical memory for host tests: an arena that phys_to_virt reaches, page-table pages in it, a page walker of its
 * own that knows nothing of mm/, and a history of every write to it that went through lib/atomic.h.
 *
 * Addresses outside the arena are memory that the code under test may name but must not touch: phys_to_virt aborts. */
#pragma once

#include "mm/pt.h"

#define PHYS_SIZE (64 * MIB)

/* Empties the arena and puts its first byte at physical address `base` (2 MiB aligned). Forgets history and hooks. */
void phys_reset(u64 base);
u64 phys_base(void);

/* ---- the walker: an implementation of SDM volume 3A section 4.5 to test another one against ---- */

struct phys_translation {
    bool present;
    u64 pa;   /* of the very byte */
    u64 size; /* of the page; 0 if not present */
    bool write, user, exec, global;
    u32 cache; /* index into the PAT: PAT, PCD, PWT bits */
    bool accessed, dirty;
};
/* Reserved bits that are set end the test program: the hardware would raise #PF with RSVD. */
struct phys_translation phys_walk(u64 root, vaddr_t va);
/* Same page contents and rights; page size, accessed and dirty may differ. */
bool phys_same(const struct phys_translation *a, const struct phys_translation *b);
/* What the hardware does at a use of va: sets A on the way, and D if it is a write that is allowed. False: a fault. */
bool phys_touch(u64 root, vaddr_t va, bool write);

/* ---- history ---- */

struct phys_write {
    u64 pa;
    u64 old, new;
};
/* From here on each 8-byte write through lib/atomic.h to the arena is recorded, and after each one that changed
 * something `after` is called, if not NULL. phys_history_stop looks for the last one. */
void phys_history_start(void (*after)(const struct phys_write *w));
u32 phys_history_stop(void); /* how many there were */
const struct phys_write *phys_history(u32 i);

/* Called before each access through lib/atomic.h, as the moment when another CPU may act; NULL: nothing. */
extern void (*phys_before_access)(const volatile void *p);

/* ---- a pool of table pages ---- */

struct phys_pool {
    struct pt_pool pool;
    u32 fail_after; /* allocations that still succeed; ~0: all */
    u32 allocated, retired, freed;
};
void phys_pool_init(struct phys_pool *p);
/* A fresh tree. */
void phys_pt_init(struct pt *pt, struct phys_pool *p);
/* Table pages reachable from the root, the root included. Fails the test if one was retired or freed. */
u32 phys_tables(u64 root);
