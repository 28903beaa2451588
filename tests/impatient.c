/* Release never rests on a policy's word: a policy that claims every level and has its messages acknowledged on entry must
 * still do no harm, because the core compares what every CPU has published before it gives memory back. */
#include "smp/cpus.h"
#include "tests/oracle.h"
#include "tests/residents.h"
#include "tests/scenario.h"

static bool wanted; /* only while its test runs: nobody else can select it, and no benchmark measures it */
static bool is_wanted(void)
{
    return wanted;
}

static void impatient_post(struct tlb_ticket *t)
{
    shootdown_send(t, TLB_ENTERED);
    shootdown_flush_here(t);
}

SHOOTDOWN_POLICY(test_impatient, "for a self test: asks for early acknowledgements, and claims flushes",
                 .usable = is_wanted, .at_return = TLB_WALKERS, .at_release = TLB_WALKERS,
                 .post = impatient_post);

static const struct shootdown_policy *impatient(void)
{
    TABLE_FOREACH (policy, struct shootdown_policy, p)
        if (p->post == impatient_post)
            return p;
    return NULL;
}

static void check_scenario(struct test *t, scenario_fn fn, const char *name, u64 *rounds)
{
    struct outcome o = scenario_play(fn, impatient(), false, (struct rounds){.irqs_on = 2, .irqs_off = 2});
    CHECK(t, !o.broken, "%s, round %llu: %s", name, (unsigned long long)o.rounds, o.broken);
    CHECK(t, !o.violations, "%s: %llu stale uses in %llu, the first on CPU %u, which reached %llx", name,
          (unsigned long long)o.violations, (unsigned long long)o.uses, o.cpu, (unsigned long long)o.found);
    *rounds += o.rounds;
}

static void release_rests_on_no_policy(struct test *t)
{
    u64 rounds = 0, late = counter_now(t, "shootdown_late_words");
    REQUIRE(t, impatient() != NULL, "the impatient policy is not in the table");
    err_t e = shootdown_policy_set(impatient()->name);
    CHECK(t, e == ERR_UNSUPPORTED, "the impatient policy can be selected outside of its test: %s",
          err_name(e));
    wanted = true;
    check_scenario(t, scenario_unmap, "unmap", &rounds);
    check_scenario(t, scenario_protect, "protect", &rounds);
    check_scenario(t, scenario_remap, "remap", &rounds);
    wanted = false;
    late = counter_now(t, "shootdown_late_words") - late;
    if (cpu_online_count() > 1)
        CHECK(t, late > 0, "in %llu rounds the core never had to wait for a word",
              (unsigned long long)rounds);
    test_note(t, "the core waited for %llu words in %llu rounds", (unsigned long long)late,
              (unsigned long long)rounds);
    if (!oracle.read || !oracle.write)
        test_blind(t, "a missing flush would not show on this machine");
}
TEST(release_rests_on_no_policy,
     "a policy that claims more than it does does no harm: the core compares before it releases");
