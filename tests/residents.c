#include "tests/residents.h"

#include "lib/context.h"
#include "lib/counter.h"
#include "mm/frame.h"
#include "mm/respond.h"
#include "tests/window.h"

#define CONTENT 0x5eed5eed5eed5eedull

bool residents_enter_alone(struct test *t, struct residents *r)
{
    *r = (struct residents){0};
    err_t e = space_create(&r->space);
    if (!CHECK(t, e == ERR_OK, "no space: %s", err_name(e))) {
        r->space = NULL;
        return false;
    }
    e = space_map_fresh(r->space, TEST_USER_VA, 1, PT_WRITE, FRAME_OWNER_TEST);
    if (!CHECK(t, e == ERR_OK, "the residents' page cannot be mapped: %s", err_name(e)))
        return false;
    observe_fill(space_query(r->space, TEST_USER_VA).pa, CONTENT);
    preempt_disable();
    space_load(r->space);
    preempt_enable();
    return true;
}

static bool enter(struct test *t, struct residents *r, bool idle)
{
    if (!residents_enter_alone(t, r))
        return false;
    r->reading = (struct observation){.space = r->space,
                                      .va = TEST_USER_VA,
                                      .use = OBSERVE_READ,
                                      .before = CONTENT,
                                      .after = CONTENT,
                                      .idles = idle};
    return CHECK(t, observers_start(&r->reading), "%s", r->reading.broken);
}

bool residents_enter(struct test *t, struct residents *r)
{
    return enter(t, r, false);
}

bool residents_enter_idle(struct test *t, struct residents *r)
{
    return enter(t, r, true);
}

void residents_leave(struct test *t, struct residents *r)
{
    if (!r->space)
        return;
    if (r->reading.space) {
        observers_finish(&r->reading);
        CHECK(t, !r->reading.broken, "%s", r->reading.broken);
        CHECK(t, !r->reading.violations, "CPU %u read %llx in the page that nobody changed", r->reading.cpu,
              (unsigned long long)r->reading.found);
        CHECK(t, !r->reading.faults, "%llu reads of the page that nobody changed have faulted",
              (unsigned long long)r->reading.faults);
    }
    preempt_disable();
    space_load(NULL);
    preempt_enable();
    space_destroy(r->space);
}

bool policy_use(struct test *t, const char *name, const struct shootdown_policy **before)
{
    *before = shootdown_policy();
    err_t e = shootdown_policy_set(name);
    return CHECK(t, e == ERR_OK, "policy %s: %s", name, err_name(e));
}

void policy_restore(struct test *t, const struct shootdown_policy *before)
{
    err_t e = shootdown_policy_set(before->name);
    CHECK(t, e == ERR_OK, "policy %s: %s", before->name, err_name(e));
}

bool published(const struct tlb_cpu *c, tlb_gen_t gen, enum tlb_level level)
{
    return tlb_published(c, gen, level) || tlb_published_by_nmi(c, gen, level);
}

const enum msg_delivery test_deliveries[TEST_DELIVERIES] = {MSG_DELIVERY_AUTO, MSG_DELIVERY_NMI};

u64 counter_now(struct test *t, const char *name)
{
    const struct counter *c = counter_find(name);
    return CHECK(t, c != NULL, "there is no counter %s", name) ? counter_sum(c) : 0;
}
