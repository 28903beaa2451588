/* The control: a policy that is broken on purpose must be caught by the checks of tests/stale.c, or they prove nothing. */
#include "lib/string.h"
#include "smp/cpus.h"
#include "tests/oracle.h"
#include "tests/scenario.h"

/* With interrupts on, the observers' flush may come in time by luck; with them off it cannot, as long as the host lets the
 * initiator run within their time: four rounds, so that a busy host does not make this fail. */
static const struct rounds rounds = {.irqs_on = 2, .irqs_off = 4};

static const struct shootdown_policy *control(struct test *t)
{
    TABLE_FOREACH (policy, struct shootdown_policy, p)
        if (p->control)
            return p;
    CHECK(t, false, "there is no policy that is broken on purpose");
    return NULL;
}

/* Whether the machine can show what a broken policy leaves behind. */
static bool can_be_caught(struct test *t, bool visible)
{
    if (cpu_online_count() < 2)
        test_skip(t, "needs 2 CPUs: the control does flush the initiator's own");
    else if (!visible)
        test_blind(t, "a missing flush does not show on this machine");
    else
        return true;
    return false;
}

static struct outcome play_control(struct test *t, scenario_fn fn, bool in_kernel)
{
    struct outcome o = {0};
    const struct shootdown_policy *p = control(t);
    if (!p)
        return o;
    bool was_allowed = shootdown_unsafe_allowed();
    shootdown_unsafe_allow(true);
    o = scenario_play(fn, p, in_kernel, rounds);
    shootdown_unsafe_allow(was_allowed);
    CHECK(t, !o.broken, "policy %s, round %llu: %s", p->name, (unsigned long long)o.rounds, o.broken);
    test_note(t, "%s: %llu stale uses in %llu, %llu rounds", p->name, (unsigned long long)o.violations,
              (unsigned long long)o.uses, (unsigned long long)o.rounds);
    return o;
}

static void must_be_caught(struct test *t, scenario_fn fn, bool visible)
{
    if (!can_be_caught(t, visible))
        return;
    struct outcome o = play_control(t, fn, false);
    CHECK(t, o.violations > 0, "the broken policy went unnoticed in %llu uses of %llu rounds",
          (unsigned long long)o.uses, (unsigned long long)o.rounds);
}

static void stale_control_unmap_is_caught(struct test *t)
{
    must_be_caught(t, scenario_unmap, oracle.read);
}
TEST(stale_control_unmap_is_caught,
     "the broken policy lets a CPU read the new owner's content, and the check sees it");

static void stale_control_protect_is_caught(struct test *t)
{
    must_be_caught(t, scenario_protect, oracle.write);
}
TEST(stale_control_protect_is_caught,
     "the broken policy lets a write land after protect, and the check sees it");

static void stale_control_remap_is_caught(struct test *t)
{
    must_be_caught(t, scenario_remap, oracle.read);
}
TEST(stale_control_remap_is_caught,
     "the broken policy leaves the old frame behind a page, and the check sees it");

static void stale_control_execute_is_caught(struct test *t)
{
    must_be_caught(t, scenario_execute, oracle.execute);
}
TEST(stale_control_execute_is_caught,
     "the broken policy leaves old code behind a page, and the check sees it");

static void stale_control_no_execute_is_caught(struct test *t)
{
    must_be_caught(t, scenario_no_execute, oracle.execute);
}
TEST(stale_control_no_execute_is_caught,
     "the broken policy lets a CPU run what may not run any more, and the check sees it");

/* Even with a broken policy in force, a freed table and the kernel's own range take a path that works. */
static void stale_control_is_fenced_in(struct test *t)
{
    struct outcome o = play_control(t, scenario_table, false);
    CHECK(t, !o.violations, "freed tables: %llu stale uses, the first on CPU %u",
          (unsigned long long)o.violations, o.cpu);
    o = play_control(t, scenario_unmap, true);
    CHECK(t, !o.violations, "kernel range: %llu stale uses, the first on CPU %u",
          (unsigned long long)o.violations, o.cpu);
    if (!oracle.read)
        test_blind(t, "a missing flush would not show on this machine");
}
TEST(stale_control_is_fenced_in, "freed tables and kernel ranges do not follow the broken policy");

static void stale_control_needs_leave(struct test *t)
{
    const struct shootdown_policy *p = control(t), *before = shootdown_policy();
    if (!p)
        return;
    bool was_allowed = shootdown_unsafe_allowed();
    shootdown_unsafe_allow(false);
    err_t e = shootdown_policy_set(p->name);
    CHECK(t, e == ERR_UNSUPPORTED, "selecting %s without leave gave: %s", p->name, err_name(e));
    CHECK(t, shootdown_policy() == before, "the policy in force became %s", shootdown_policy()->name);
    shootdown_unsafe_allow(true);
    e = shootdown_policy_set(p->name);
    CHECK(t, e == ERR_OK && shootdown_policy() == p, "selecting %s with leave gave: %s", p->name,
          err_name(e));
    e = shootdown_policy_set(before->name);
    CHECK(t, e == ERR_OK, "selecting %s again gave: %s", before->name, err_name(e));
    shootdown_unsafe_allow(was_allowed);
}
TEST(stale_control_needs_leave, "a policy that is broken on purpose is refused without unsafe=yes");
