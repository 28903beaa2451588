/* Between tests/fuzz.c, the games, and tests/fuzz_ops.c, what an actor does in them. */
#pragma once

#include "mm/region_internal.h"
#include "tests/thread_util.h"

#define ACTORS_MAX 8u
#define SPACES     2u
#define PAGES      520u /* a large page, and what lies behind it */
#define NOTHING    0xff /* rights of a page without a region */

struct page {
    u64 content; /* of its first word */
    u8 prot;
    bool dirty;
};

extern struct model {
    struct space *space;
    struct page page[ACTORS_MAX][PAGES];
} fuzz_model[SPACES];

struct actor {
    u32 index, ops;
    u64 random, serial;
    struct model *m;
    struct page *page; /* of m, its own */
    u32 loaded_for;    /* operations for which m stays loaded */
    u32 child_ran;
    /* The first thing that was wrong. */
    const char *wrong;
    u32 at;
    u64 found, expected;
    cpu_t cpu;
} CACHE_ALIGNED;

static inline u64 rnd(struct actor *a, u64 n)
{
    a->random ^= a->random >> 12;
    a->random ^= a->random << 25;
    a->random ^= a->random >> 27;
    return (a->random * 0x2545f4914f6cdd1dull >> 11) % n;
}

/* One operation on a random space, and a look at some pages. */
void fuzz_step(struct actor *a);
/* What the kernel says of the page, and what its memory holds, is what the model says. Only a's own operations change it. */
void fuzz_check_page(struct actor *a, u32 page);
/* The loaded space goes, or is only borrowed: before anyone else gets this CPU. */
void fuzz_unload(struct actor *a);
