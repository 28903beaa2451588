/* A space that every CPU has loaded, for tests of who is told of what: the running CPU has it loaded too, and the others keep
 * reading one page of it, which stays mapped, until the test is over.
 *
 *   struct residents r;
 *   if (residents_enter(t, &r)) { ... space_unmap(r.space, ...); ... }
 *   residents_leave(t, &r);
 */
#pragma once

#include "tests/observer.h"
#include "tests/test.h"

struct residents {
    struct space *space; /* NULL if there was no memory for it */
    struct observation reading;
};

/* Pages from RESIDENTS_FREE_VA on are the test's; the page before it is mapped, so that its table is never freed. */
#define RESIDENTS_FREE_VA (TEST_USER_VA + PAGE_SIZE)

bool residents_enter(struct test *t, struct residents *r);
void residents_leave(struct test *t, struct residents *r);
/* As residents_enter, but between two reads the others wait as idle CPUs do. */
bool residents_enter_idle(struct test *t, struct residents *r);

/* As residents_enter, but the others stay idle; left with residents_leave too. */
bool residents_enter_alone(struct test *t, struct residents *r);

/* Sets a policy for the length of a test. */
bool policy_use(struct test *t, const char *name, const struct shootdown_policy **before);
void policy_restore(struct test *t, const struct shootdown_policy *before);
#define POLICY_USABLE(p) (!(p)->control && shootdown_policy_usable(p))

/* Has the CPU that owns c published the level, in its interrupt handler or its NMI handler? */
bool published(const struct tlb_cpu *c, tlb_gen_t gen, enum tlb_level level);

/* The ways of delivery that change how a target of a shootdown is told; "auto" first. delivery=auto is in force in tests. */
#define DELIVERIES_FOREACH(d)                                                                                \
    for (const enum msg_delivery *d = test_deliveries; d < test_deliveries + TEST_DELIVERIES; d++)
#define TEST_DELIVERIES 2u
extern const enum msg_delivery test_deliveries[TEST_DELIVERIES];

/* A counter's sum over all CPUs; fails the test if there is none of that name. */
u64 counter_now(struct test *t, const char *name);
