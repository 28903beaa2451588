/* The steps of an initiator against those of a target: each pair in both orders, as far as one of the two does not wait for the
 * other by itself. What must hold is the scenarios' rule (tests/scenario.h). With stop points, so that an order which hardware
 * shows once in a million times is played every time. tests/litmus_load.c does the same for a CPU that loads the space. */
#include "kernel/stop_point.h"
#include "lib/string.h"
#include "smp/cpus.h"
#include "tests/oracle.h"
#include "tests/residents.h"
#include "tests/scenario.h"

#define INITIATOR 0u
#define TARGET    1u
/* The order is that of the initiator and one target. The others are there because a shootdown has many: so many do. */
#define OBSERVERS 16u

static const enum stop_point here[] = {STOP_POSTED, STOP_LOCAL, STOP_WAIT, STOP_RELEASE};
static const enum stop_point there[] = {STOP_ENTERED, STOP_TAKEN,     STOP_PENDING, STOP_ACKED,
                                        STOP_FLUSHED, STOP_PUBLISHED, STOP_DRAINED};

/* How a policy plays a scenario, found out in a round without any order. */
struct way {
    bool plain; /* made of the core's pieces alone; others may ring later, or wait earlier, than these do */
    bool by_message; /* the target is told by message */
    bool waits;      /* the initiator waits, and releases by itself: policies that defer do not */
    bool few; /* only the steps at which an initiator waits: for what goes the same way as another scenario */
    bool early;       /* the target acknowledges before it flushes, and that is what is waited for */
    bool local_first; /* the initiator flushes itself before it posts */
};

struct order {
    enum stop_point here, there;
    bool here_first;
};

/* Can this order be forced? Else one would wait for the other, which waits for it. */
static bool is_possible(const struct way *w, const struct order *o)
{
    if (o->there == STOP_ACKED && !w->early)
        return false;
    bool at_end = o->here == STOP_WAIT || o->here == STOP_RELEASE;
    if ((at_end && !w->waits) || (!at_end && w->few))
        return false;
    if (!w->plain)
        return !o->here_first && o->here == STOP_RELEASE && o->there != STOP_ACKED && w->waits;
    if (!o->here_first)
        return o->here != STOP_LOCAL || !w->local_first;
    if (o->here != STOP_RELEASE)
        return true;
    return o->there == STOP_PUBLISHED || o->there == STOP_DRAINED ||
           (w->early && (o->there == STOP_ACKED || o->there == STOP_FLUSHED));
}

/* At the initiator's first raised generation, which is that of the change under test: what came before, to start the observers,
 * counts for nothing. */
static void arm(void *arg)
{
    const struct order *o = arg;
    stop_call(STOP_GENERATION, INITIATOR, NULL, NULL);
    if (o->here_first)
        stop_order(o->here, INITIATOR, o->there, TARGET);
    else
        stop_order(o->there, TARGET, o->here, INITIATOR);
}

static struct {
    u64 posted; /* messages to targets, before the change */
    u32 changes;
} probe;

static void probe_change(void *arg)
{
    (void)arg;
    if (!probe.changes++) /* later ones are not the scenario's */
        probe.posted = stop_passes(STOP_POSTED, INITIATOR);
}

static void probe_local(void *arg)
{
    struct way *w = arg;
    w->local_first = stop_passes(STOP_POSTED, INITIATOR) == probe.posted;
    stop_call(STOP_LOCAL, INITIATOR, NULL, NULL);
}

static void probe_taken(void *arg)
{
    struct way *w = arg;
    w->by_message |= probe.changes == 1;
}

static const struct rounds one = {.irqs_on = 1};

static void check(struct test *t, const struct outcome *o, const struct shootdown_policy *p,
                  const struct order *order)
{
    const char *first = !order ? "any order" : stop_name(order->here_first ? order->here : order->there);
    const char *then = !order ? "" : stop_name(order->here_first ? order->there : order->here);
    CHECK(t, !o->broken, "%s, %s before %s: %s", p->name, first, then, o->broken);
    CHECK(t, !o->violations,
          "%s, %s before %s: %llu stale uses in %llu, the first on CPU %u, which reached %llx", p->name,
          first, then, (unsigned long long)o->violations, (unsigned long long)o->uses, o->cpu,
          (unsigned long long)o->found);
    CHECK(t, !stop_is_overdue(), "%s, %s before %s: %s", p->name, first, then, stop_why());
}

static bool is_plain(const struct shootdown_policy *p)
{
    static const char *const names[] = {"sync", "concurrent", "early_ack"};
    for (u32 i = 0; i < ARRAY_SIZE(names); i++)
        if (strcmp(p->name, names[i]) == 0)
            return true;
    return false;
}

static struct way find_way(struct test *t, scenario_fn fn, const struct shootdown_policy *p,
                           bool entered_is_enough)
{
    struct way w = {.plain = is_plain(p),
                    .waits = !p->special,
                    .few = !entered_is_enough,
                    .early = entered_is_enough && p->at_return == TLB_ENTERED && !p->special};
    stop_clear();
    probe.changes = 0;
    stop_call(STOP_GENERATION, INITIATOR, probe_change, &w);
    stop_call(STOP_LOCAL, INITIATOR, probe_local, &w);
    stop_call(STOP_PENDING, TARGET, probe_taken, &w);
    struct outcome o = scenario_play(fn, p, false, one);
    stop_clear();
    check(t, &o, p, NULL);
    return w;
}

static u32 play_orders(struct test *t, scenario_fn fn, const struct shootdown_policy *p, const struct way *w)
{
    u32 played = 0;
    for (u32 i = 0; i < 2 * ARRAY_SIZE(here) * ARRAY_SIZE(there); i++) {
        struct order o = {.here = here[i / 2 % ARRAY_SIZE(here)],
                          .there = there[i / 2 / ARRAY_SIZE(here)],
                          .here_first = i % 2};
        if (!is_possible(w, &o))
            continue;
        stop_clear();
        stop_call(STOP_GENERATION, INITIATOR, arm, &o);
        struct outcome out = scenario_play(fn, p, false, one);
        stop_clear();
        check(t, &out, p, &o);
        played++;
        if (t->failures)
            break; /* the first one tells; the rest would mostly wait for nothing */
    }
    return played;
}

/* That the same scenario catches a policy that waits for nobody. */
static u64 play_control(scenario_fn fn)
{
    u64 violations = 0;
    bool was_allowed = shootdown_unsafe_allowed();
    shootdown_unsafe_allow(true);
    TABLE_FOREACH (policy, struct shootdown_policy, p)
        if (p->control)
            violations += scenario_play(fn, p, false, (struct rounds){.irqs_off = 4}).violations;
    shootdown_unsafe_allow(was_allowed);
    return violations;
}

static void litmus(struct test *t, scenario_fn fn, bool entered_is_enough, bool visible)
{
    u32 policies = 0, orders = 0, free = 0;
    if (cpu_online_count() < 2 || !cpu_is_online(TARGET)) {
        test_skip(t, "needs CPUs 0 and 1");
        return;
    }
    REQUIRE(t, stop_begin() == ERR_OK, "the stop points cannot be switched on");
    observers_at_most(OBSERVERS);
    TABLE_FOREACH (policy, struct shootdown_policy, p) {
        if (!POLICY_USABLE(p) || t->failures)
            continue;
        struct way w = find_way(t, fn, p, entered_is_enough);
        policies++;
        /* A special policy may post in ways of its own. */
        if (w.by_message && (w.waits || !w.local_first))
            orders += play_orders(t, fn, p, &w);
        else
            free++;
    }
    CHECK(t, stop_end(), "%s", stop_why());
    CHECK(t, orders, "no order was played");
    u64 caught = play_control(fn);
    observers_at_most(MAX_CPUS);
    test_note(t,
              "%u policies, %u orders of two steps forced, %u policies without stop points; control: %llu "
              "stale uses",
              policies, orders, free, (unsigned long long)caught);
    if (!visible)
        test_blind(t, "a missing flush would not show on this machine");
    else
        CHECK(t, caught, "the control, which waits for nobody, was not caught");
}

static void litmus_unmap_orders(struct test *t)
{
    litmus(t, scenario_unmap, true, oracle.read && oracle.remote);
}
TEST(litmus_unmap_orders,
     "unmap, the frame to a new owner: every two steps of initiator and target in both orders, every policy");

static void litmus_protect_orders(struct test *t)
{
    litmus(t, scenario_protect, false, oracle.write && oracle.remote);
}
TEST(litmus_protect_orders,
     "writing taken away: every two steps of initiator and target in both orders, every policy");

static void litmus_remap_orders(struct test *t)
{
    litmus(t, scenario_remap, false, oracle.read && oracle.remote);
}
TEST(litmus_remap_orders,
     "another frame behind the page: every two steps of initiator and target in both orders, every policy");

static void litmus_execute_orders(struct test *t)
{
    litmus(t, scenario_execute, false, oracle.execute && oracle.remote);
}
TEST(litmus_execute_orders,
     "other code behind the page: every two steps of initiator and target in both orders, every policy");

static void litmus_no_execute_orders(struct test *t)
{
    litmus(t, scenario_no_execute, false, oracle.execute && oracle.remote);
}
TEST(litmus_no_execute_orders,
     "execution taken away: every two steps of initiator and target in both orders, every policy");
