/* The central promise: when an operation has returned, nobody reaches what it took away. For every policy that claims to be
 * right; that these checks can fail is shown by tests/stale_control.c. */
#include "smp/cpus.h"
#include "tests/oracle.h"
#include "tests/residents.h"
#include "tests/scenario.h"

static void check_policy(struct test *t, scenario_fn fn, const struct shootdown_policy *p, bool in_kernel,
                         struct outcome *sum)
{
    const struct rounds rounds = {.irqs_on = test_rounds(4, 1), .irqs_off = 1};
    struct outcome o = scenario_play(fn, p, in_kernel, rounds);
    CHECK(t, !o.broken, "policy %s, round %llu: %s", p->name, (unsigned long long)o.rounds, o.broken);
    CHECK(t, !o.violations,
          "policy %s, delivery=%s: %llu stale uses in %llu, the first on CPU %u, which reached %llx", p->name,
          msg_delivery_name(), (unsigned long long)o.violations, (unsigned long long)o.uses, o.cpu,
          (unsigned long long)o.found);
    CHECK(t, o.broken || o.rounds == rounds.irqs_on + rounds.irqs_off, "policy %s: %llu rounds instead of %u",
          p->name, (unsigned long long)o.rounds, rounds.irqs_on + rounds.irqs_off);
    sum->rounds += o.rounds;
    sum->uses += o.uses;
    sum->faults += o.faults;
    sum->reused += o.reused;
}

/* `visible`: whether a missing flush would have shown on this machine. */
static void check_policies(struct test *t, scenario_fn fn, bool in_kernel, bool visible, bool expect_reuse)
{
    struct outcome sum = {0};
    u32 policies = 0;
    enum msg_delivery was = msg_delivery_get();
    DELIVERIES_FOREACH(d)
    {
        msg_delivery_set(*d);
        TABLE_FOREACH (policy, struct shootdown_policy, p) {
            if (!POLICY_USABLE(p) || (*d == MSG_DELIVERY_NMI && !p->post_nmi))
                continue;
            check_policy(t, fn, p, in_kernel, &sum);
            policies++;
        }
    }
    msg_delivery_set(was);
    CHECK(t, policies > 0, "no policy was checked");
    if (expect_reuse)
        CHECK(t, sum.reused == sum.rounds, "the frame went to a new owner in %llu of %llu rounds only",
              (unsigned long long)sum.reused, (unsigned long long)sum.rounds);
    test_note(t, "%u policies and ways of delivery, %llu rounds, %u CPUs, %llu uses, %llu of them faulted",
              policies, (unsigned long long)sum.rounds, cpu_online_count(), (unsigned long long)sum.uses,
              (unsigned long long)sum.faults);
    if (!visible)
        test_blind(t, "a missing flush would not show on this machine");
}

static void stale_unmap(struct test *t)
{
    check_policies(t, scenario_unmap, false, oracle.read, true);
}
TEST(stale_unmap, "no CPU reads an unmapped page's frame after it went to a new owner, under every policy");

static void stale_unmap_table(struct test *t)
{
    check_policies(t, scenario_table, false, oracle.read, true);
}
TEST(stale_unmap_table, "the same when the page's table is freed with it");

static void stale_protect(struct test *t)
{
    check_policies(t, scenario_protect, false, oracle.write, false);
}
TEST(stale_protect, "no CPU's write lands in a page after writing was taken away, under every policy");

static void stale_remap(struct test *t)
{
    check_policies(t, scenario_remap, false, oracle.read, true);
}
TEST(stale_remap, "every CPU reads the new frame after a page was remapped, under every policy");

static void stale_execute(struct test *t)
{
    check_policies(t, scenario_execute, false, oracle.execute, false);
}
TEST(stale_execute, "every CPU runs the new code after a page was remapped, under every policy");

static void stale_no_execute(struct test *t)
{
    check_policies(t, scenario_no_execute, false, oracle.execute, false);
}
TEST(stale_no_execute, "no CPU runs code in a page from which execution was taken away, under every policy");

static void stale_kernel_unmap(struct test *t)
{
    check_policies(t, scenario_unmap, true, oracle.read, true);
}
TEST(stale_kernel_unmap, "no CPU reads an unmapped kernel page, under every policy");

static void stale_kernel_remap(struct test *t)
{
    check_policies(t, scenario_remap, true, oracle.read, true);
}
TEST(stale_kernel_remap, "every CPU reads the new frame behind a kernel page, under every policy");
