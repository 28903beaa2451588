/* What one shootdown costs in interrupt commands, lines and turns, exactly, by counter: linear in the targets for unicast, in the
 * clusters for multicast, and bounded by the fan-out on each CPU for a tree. */
#include "apic/apic.h"
#include "lib/context.h"
#include "lib/counter.h"
#include "mm/frame.h"
#include "smp/cpus.h"
#include "smp/message.h"
#include "tests/residents.h"
#include "tests/window.h"

/* A ring is saved where the target's pending word was not empty; the residents get no other messages, so a try or two suffice. */
#define TRIES 8u

struct effort {
    u64 icr, lines, saved;              /* of all CPUs */
    u64 icr_here, lines_here, icr_most; /* of the initiator; of the CPU that wrote most */
};

static const struct counter *find(struct test *t, const char *name)
{
    const struct counter *c = counter_find(name);
    CHECK(t, c != NULL, "there is no counter %s", name);
    return c;
}

static struct effort shoot_once(struct test *t, struct space *s)
{
    static u64 icr_before[MAX_CPUS];
    const struct counter *icr = find(t, "icr_writes"), *sent = find(t, "msg_sent"),
                         *saved = find(t, "msg_rings_saved");
    struct effort e = {0};
    cpu_t self = cpu_self();
    CHECK(t, space_map_fresh(s, RESIDENTS_FREE_VA, 1, PT_WRITE, FRAME_OWNER_TEST) == ERR_OK, "no page");
    if (!icr || !sent || !saved)
        return e;
    for (cpu_t c = 0; c < cpu_count(); c++)
        icr_before[c] = counter_value(icr, c);
    u64 lines = counter_sum(sent), lines_here = counter_value(sent, self), rings = counter_sum(saved);
    CHECK(t, space_unmap(s, RESIDENTS_FREE_VA, RESIDENTS_FREE_VA + PAGE_SIZE) == ERR_OK, "unmap");
    e.lines = counter_sum(sent) - lines;
    e.lines_here = counter_value(sent, self) - lines_here;
    e.saved = counter_sum(saved) - rings;
    for (cpu_t c = 0; c < cpu_count(); c++) {
        u64 wrote = counter_value(icr, c) - icr_before[c];
        e.icr += wrote;
        e.icr_most = MAX(e.icr_most, wrote);
    }
    e.icr_here = counter_value(icr, self) - icr_before[self];
    return e;
}

/* One in which no ring was saved. */
static struct effort shoot(struct test *t, struct space *s)
{
    struct effort e = {0};
    for (u32 i = 0; i < TRIES; i++) {
        e = shoot_once(t, s);
        if (!e.saved)
            break;
    }
    return e;
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

static void check_flat(struct test *t, struct space *s, enum msg_delivery how, u64 icr)
{
    u64 targets = cpu_online_count() - 1;
    msg_delivery_set(how);
    struct effort e = shoot(t, s);
    CHECK(t, e.icr == icr && e.icr_here == icr,
          "%s, %llu targets: %llu ICR writes, %llu of them here, not %llu", msg_delivery_name(),
          (unsigned long long)targets, (unsigned long long)e.icr, (unsigned long long)e.icr_here,
          (unsigned long long)icr);
    CHECK(t, e.lines == targets && e.lines_here == targets, "%s, %llu targets: %llu lines filled",
          msg_delivery_name(), (unsigned long long)targets, (unsigned long long)e.lines);
}

static void shootdown_effort_is_linear(struct test *t)
{
    const struct shootdown_policy *before;
    enum msg_delivery delivery = msg_delivery_get();
    u64 targets = cpu_online_count() - 1;
    struct residents r;
    if (!targets) {
        test_skip(t, "needs 2 CPUs");
        return;
    }
    if (!policy_use(t, "concurrent", &before))
        return;
    if (residents_enter(t, &r)) {
        check_flat(t, r.space, MSG_DELIVERY_UNICAST, targets);
        if (apic_is_x2apic)
            check_flat(t, r.space, MSG_DELIVERY_CLUSTER, count_clusters());
        err_t e = shootdown_policy_set("tree");
        CHECK(t, e == ERR_OK, "tree: %s", err_name(e));
        msg_delivery_set(MSG_DELIVERY_UNICAST);
        struct effort tree = shoot(t, r.space);
        CHECK(t, tree.lines == targets && tree.icr == targets, "a tree to %llu: %llu lines, %llu ICR writes",
              (unsigned long long)targets, (unsigned long long)tree.lines, (unsigned long long)tree.icr);
        /* A set wider than a message carries is split further. */
        u64 most = MAX(shootdown_fanout, (targets + 127) / 128 + 1);
        CHECK(t, tree.icr_here <= most && tree.lines_here <= most && tree.icr_most <= most,
              "a tree of fan-out %u: %llu ICR writes here, at most %llu on a CPU", shootdown_fanout,
              (unsigned long long)tree.icr_here, (unsigned long long)tree.icr_most);
        test_note(
            t,
            "%llu targets: unicast %llu ICR writes, clusters %u, tree %llu here and at most %llu on any CPU",
            (unsigned long long)targets, (unsigned long long)targets, count_clusters(),
            (unsigned long long)tree.icr_here, (unsigned long long)tree.icr_most);
    }
    msg_delivery_set(delivery);
    residents_leave(t, &r);
    policy_restore(t, before);
}
TEST(shootdown_effort_is_linear,
     "ICR writes and lines: one for each target, one for each cluster, at most the fan-out in a tree");
