/* The CPUs of a bug that is played in a chosen order: one that uses pages of a space, and one that takes them away, while the test
 * itself directs. The first may take no interrupt meanwhile, so that whoever goes on without its answer is seen to. */
#pragma once

#include "mm/space.h"
#include "tests/test.h"

#define BUG_LIMIT_MS 5000u
#define BUG_TURNS    test_rounds(2000, 64) /* PAUSEs in which somebody who does not wait is long through */

struct bug_user {
    /* in */
    struct space *space;
    vaddr_t va[2]; /* read before, and after `go`; 0: none */
    bool deaf;     /* interrupts off from the first reads to `go` */
    /* between */
    u32 ready, go;
    /* out: of each read 0, or the vector that it raised */
    int before[2], after[2];
};

struct bug_unmap {
    struct space *space;
    vaddr_t va; /* one page */
    u32 returned;
    err_t error;
};

/* The other CPUs by the part that they play. CPU_NONE if there are not as many. */
cpu_t bug_user_cpu(void);
cpu_t bug_initiator_cpu(void);

void bug_turns(void);

/* Starts the user, and waits until it has the pages cached. False, and said so: it did not come so far. THREAD on CPU 0. */
bool bug_use(struct test *t, cpu_t cpu, struct bug_user *u) MUST_CHECK;
/* Lets it go on and read once more; waits for its end, with the space loaded nowhere. */
void bug_use_end(struct test *t, cpu_t cpu, struct bug_user *u);

bool bug_unmap_on(struct test *t, cpu_t cpu, struct bug_unmap *u) MUST_CHECK;
void bug_unmap_end(struct test *t, cpu_t cpu, const struct bug_unmap *u);
