/* What one shootdown costs in interrupt commands, lines and turns, exactly, by counter and on each CPU: linear in the targets for unicast,
 * in the clusters for multicast, and by depth and fan-out for a tree. */
#include "apic/apic.h"
#include "bench/targets.h"
#include "lib/context.h"
#include "lib/log.h"
#include "mm/split.h"
#include "smp/cpus.h"
#include "smp/message.h"
#include "smp/topology.h"
#include "tests/residents.h"
#include "tests/window.h"

/* The residents get no other messages, so a shootdown with anything else in its counts is rare. */
#define TRIES 4u

static struct target_counts found[MAX_CPUS], due[MAX_CPUS];
static u32 below[MAX_CPUS];

/* ---- what it has to be ---- */

/* A drain looks at each word of its inbox, if there are several. */
static u64 drain_turns(void)
{
    return 1 + (cpumask_words > 1 ? cpumask_words : 0);
}

/* Of a target that tells nobody, by a message: the pending word and the line taken, the line acknowledged, the generation read, its own
 * words written. In the other layout (opt= without line) the request read and its state written besides. */
static struct target_counts leaf(bool split)
{
    return (struct target_counts){.lines = split ? 7 : 5, .turns = drain_turns()};
}

/* Of an initiator of n targets that tells k of them itself: three accesses to tell one (the line looked at and taken, the pending word), the
 * generation, each target's words. */
static struct target_counts initiator(u64 n, u64 told, u64 icr)
{
    return (struct target_counts){.icr = icr, .lines = 1 + 3 * told + n, .turns = told + n, .sent = told};
}

/* ---- what it is ---- */

static bool is_due(struct test *t, const char *what, bool last)
{
    bool all = true;
    CPUMASK_FOREACH (c, &cpus_online) {
        const struct target_counts *f = &found[c], *d = &due[c];
        bool same = f->icr == d->icr && f->lines == d->lines && f->turns == d->turns && f->sent == d->sent;
        all &= same;
        if (last)
            CHECK(t, same,
                  "%s: CPU %u: %llu ICR writes, not %llu; %llu lines, not %llu; %llu turns, not %llu; %llu "
                  "messages, not %llu",
                  what, c, (unsigned long long)f->icr, (unsigned long long)d->icr,
                  (unsigned long long)f->lines, (unsigned long long)d->lines, (unsigned long long)f->turns,
                  (unsigned long long)d->turns, (unsigned long long)f->sent, (unsigned long long)d->sent);
    }
    return all;
}

/* All are told by the initiator; `ring_turns`: those of the loop that rings. */
static void check_flat(struct test *t, struct space *s, enum msg_delivery how, u64 icr, u64 ring_turns)
{
    u64 targets = cpu_online_count() - 1;
    cpu_t self = cpu_self();
    msg_delivery_set(how);
    CPUMASK_FOREACH (c, &cpus_online)
        due[c] = leaf(split_layout);
    due[self] = initiator(targets, targets, icr);
    due[self].turns += ring_turns;
    if (split_layout) {
        /* Each target's state, and the request. */
        due[self].lines += targets + 1;
        due[self].turns += targets;
    }
    for (u32 i = 1; i <= TRIES; i++)
        if (!CHECK(t, targets_shoot(s, RESIDENTS_FREE_VA, found), "no page") ||
            is_due(t, msg_delivery_name(), i == TRIES))
            break;
}

/* Levels of a tree in which each CPU tells the first of at most `fanout` equal runs: the longest run less its first is the next one. */
static u32 levels(u64 n, u32 fanout)
{
    u32 depth = 0;
    for (; n; n = (n + fanout - 1) / fanout - 1)
        depth++;
    return depth;
}

static bool tree_is_due(struct test *t, const cpumask_t *targets, u32 fanout, u32 *depth, bool last)
{
    u64 n = cpumask_count(targets), most = 0, sent = 0;
    cpu_t self = cpu_self();
    char what[24];
    *depth = targets_depth(targets, found, below);
    CPUMASK_FOREACH (c, &cpus_online) {
        due[c] = leaf(false);
        due[c].icr = due[c].sent = found[c].sent; /* each message finds an empty inbox */
        due[c].lines += 3 * found[c].sent;
        /* Looks at its part, deals out what is below it: looks twice at each of these. */
        due[c].turns += 1 + below[c] + 2 * below[c] + found[c].sent;
        sent += found[c].sent;
        most = MAX(most, found[c].sent);
    }
    due[self] = initiator(n, found[self].sent, found[self].sent);
    due[self].turns += 2 * n;
    format(what, sizeof(what), "tree of fan-out %u", fanout);
    bool one_package = topology_of(0).package == topology_of(cpu_count() - 1).package,
         fits = n <= 128ull * fanout; /* a message carries 128 CPUs: more are split further */
    bool shape = *depth && sent == n && (!fits || most <= fanout) &&
                 (!one_package || !fits || *depth == levels(n, fanout));
    if (last)
        CHECK(t, shape, "%s: %llu messages for %llu targets, at most %llu by one CPU, %u levels, not %u",
              what, (unsigned long long)sent, (unsigned long long)n, (unsigned long long)most, *depth,
              levels(n, fanout));
    return is_due(t, what, last) && shape;
}

static u32 check_tree(struct test *t, struct space *s, u32 fanout)
{
    cpumask_t targets;
    u32 before = shootdown_fanout, depth = 0;
    cpumask_clear(&targets);
    cpumask_snapshot(&targets, &cpus_online);
    cpumask_unset(&targets, cpu_self());
    shootdown_fanout = fanout;
    for (u32 i = 1; i <= TRIES; i++)
        if (!CHECK(t, targets_shoot(s, RESIDENTS_FREE_VA, found), "no page") ||
            tree_is_due(t, &targets, fanout, &depth, i == TRIES))
            break;
    shootdown_fanout = before;
    return depth;
}

/* Runs of targets, in the order of their numbers, that share an x2APIC cluster. */
static u32 count_clusters(void)
{
    u32 clusters = 0;
    apic_id_t last = ~0u;
    CPUMASK_FOREACH (c, &cpus_online) {
        if (c == cpu_self())
            continue;
        apic_id_t id = cpu_apic_id(c) >> 4;
        clusters += id != last;
        last = id;
    }
    return clusters;
}

static void check_all(struct test *t, struct space *s)
{
    u64 targets = cpu_online_count() - 1;
    check_flat(t, s, MSG_DELIVERY_UNICAST, targets, targets);
    if (apic_is_x2apic)
        check_flat(t, s, MSG_DELIVERY_CLUSTER, count_clusters(), targets);
    /* A CPU that was started and did not arrive keeps the shorthand from being used. */
    bool all = cpu_online_count() == cpu_count();
    if (targets > 1)
        check_flat(t, s, MSG_DELIVERY_SHORTHAND, all ? 1 : targets, all ? 0 : targets);
    err_t e = shootdown_policy_set("tree");
    CHECK(t, e == ERR_OK, "tree: %s", err_name(e));
    msg_delivery_set(MSG_DELIVERY_UNICAST);
    u32 of_2 = check_tree(t, s, 2), of_4 = check_tree(t, s, 4), of_16 = check_tree(t, s, 16);
    test_note(t, "%llu targets, %u clusters; levels of a tree of fan-out 2: %u, 4: %u, 16: %u",
              (unsigned long long)targets, count_clusters(), of_2, of_4, of_16);
}

static void shootdown_effort_is_linear(struct test *t)
{
    const struct shootdown_policy *before;
    enum msg_delivery delivery = msg_delivery_get();
    struct residents r;
    if (cpu_online_count() < 2) {
        test_skip(t, "needs 2 CPUs");
        return;
    }
    if (!policy_use(t, "concurrent", &before))
        return;
    if (residents_enter(t, &r)) {
        targets_count_begin();
        check_all(t, r.space);
        targets_count_end();
    }
    msg_delivery_set(delivery);
    residents_leave(t, &r);
    policy_restore(t, before);
}
TEST(shootdown_effort_is_linear,
     "ICR writes, lines and turns on each CPU: by targets, by clusters, and by fan-out and depth in a tree");
