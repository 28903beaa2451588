/* Many initiators at once: two that shoot at each other, all at all, and overlapping ranges. */
#include "kernel/trap.h"
#include "kernel/worker.h"
#include "lib/context.h"
#include "lib/wait.h"
#include "mm/frame.h"
#include "smp/cpus.h"
#include "tests/residents.h"
#include "tests/window.h"

#define STORM_MS 20000u
/* Shootdowns in one storm, over all initiators: enough for every order of two, few enough for 64 virtual CPUs on two real. */
#define SHOOTDOWNS 96u
#define INITIATORS 64u

/* Each CPU's own page, or everyone's. */
static struct storm {
    struct space *space;
    bool one_page; /* all work on the same page */
    u32 initiators, turns;
    u32 arrived;
    struct storm_cpu {
        u32 finished;
        u32 wrong; /* own page still there after its unmap, or an operation that failed */
    } CACHE_ALIGNED cpu[MAX_CPUS];
} storm;

static vaddr_t storm_page(void)
{
    return RESIDENTS_FREE_VA + (storm.one_page ? 0 : cpu_self()) * PAGE_SIZE;
}

/* One turn on a page that only this CPU changes. */
static bool own_turn(vaddr_t va)
{
    u64 v;
    return space_map_fresh(storm.space, va, 1, PT_WRITE, FRAME_OWNER_TEST) == ERR_OK &&
           safe_write_u64((void *)va, va) == 0 && space_unmap(storm.space, va, va + PAGE_SIZE) == ERR_OK &&
           safe_read_u64((void *)va, &v) == EXC_PAGE_FAULT;
}

/* One turn on a page that all change: somebody's page is there or not, and both operations cope. */
static bool shared_turn(vaddr_t va)
{
    u64 v;
    err_t e = space_map_fresh(storm.space, va, 1, PT_WRITE, FRAME_OWNER_TEST);
    if (e != ERR_OK && e != ERR_EXIST)
        return false;
    (void)safe_read_u64((void *)va, &v); /* caches it, if it is there */
    return space_unmap(storm.space, va, va + PAGE_SIZE) == ERR_OK;
}

static void storm_main(void *arg)
{
    struct storm_cpu *me = arg;
    preempt_disable();
    space_load(storm.space);
    preempt_enable();
    /* All begin together. */
    atomic_fetch_add(&storm.arrived, 1);
    struct wait w = WAIT("all initiators", wait_ms(STORM_MS));
    while (atomic_load_relaxed(&storm.arrived) < storm.initiators && wait_spin(&w))
        ;
    for (u32 i = 0; i < storm.turns; i++)
        me->wrong += !(storm.one_page ? shared_turn(storm_page()) : own_turn(storm_page()));
    me->finished = 1;
    /* Those that are done stay targets until all are. */
    atomic_fetch_add(&storm.arrived, 1);
    while (atomic_load_relaxed(&storm.arrived) < 2 * storm.initiators && wait_spin(&w))
        ;
    preempt_disable();
    space_load(NULL);
    preempt_enable();
}

/* The first `initiators` online CPUs shoot at each other, in a space that all of them have loaded. */
static void run_storm(struct test *t, const struct shootdown_policy *p, u32 initiators, bool one_page)
{
    const struct shootdown_policy *before;
    cpumask_t others = {0};
    if (!policy_use(t, p->name, &before))
        return;
    storm.initiators = initiators;
    storm.turns = MAX(SHOOTDOWNS / initiators, initiators > INITIATORS ? 1u : 2u);
    storm.one_page = one_page;
    storm.arrived = 0;
    CPUMASK_FOREACH (c, &cpus_online) {
        storm.cpu[c] = (struct storm_cpu){0};
        if (c == cpu_self() || cpumask_count(&others) + 1 == initiators)
            continue;
        err_t e = worker_start(c, storm_main, &storm.cpu[c]);
        if (CHECK(t, e == ERR_OK, "CPU %u: %s", c, err_name(e)))
            cpumask_set(&others, c);
        else
            storm.initiators--;
    }
    storm_main(&storm.cpu[cpu_self()]);
    CPUMASK_FOREACH (c, &others)
        CHECK(t, worker_wait(c, STORM_MS) == ERR_OK, "%s: CPU %u is stuck", p->name, c);
    cpumask_set(&others, cpu_self());
    CPUMASK_FOREACH (c, &others)
        CHECK(t, storm.cpu[c].finished && !storm.cpu[c].wrong, "%s: on CPU %u, %u of %u turns went wrong",
              p->name, c, storm.cpu[c].wrong, storm.turns);
    policy_restore(t, before);
}

/* More CPUs than INITIATORS shoot at each other under the policy in force, each at its own page; under the others so many are enough, and
 * at one page, where they wait for each other, half of them. */
static u32 initiators_for(const struct shootdown_policy *p, u32 all, bool one_page)
{
    if (one_page)
        return MIN(all, INITIATORS / 2);
    return p == shootdown_policy() ? all : MIN(all, INITIATORS);
}

static void check_storm(struct test *t, u32 initiators, bool one_page)
{
    if (cpu_online_count() < 2) {
        test_skip(t, "needs 2 CPUs");
        return;
    }
    REQUIRE(t, space_create(&storm.space) == ERR_OK, "no space");
    /* Keeps the table in use, so that plain unmaps stay plain. */
    err_t e = space_map_fresh(storm.space, TEST_USER_VA, 1, PT_READ, FRAME_OWNER_TEST);
    if (CHECK(t, e == ERR_OK, "the keeper's page: %s", err_name(e)))
        TABLE_FOREACH (policy, struct shootdown_policy, p)
            if (POLICY_USABLE(p))
                run_storm(t, p, initiators_for(p, initiators, one_page), one_page);
    space_destroy(storm.space);
}

static void shootdown_cross(struct test *t)
{
    check_storm(t, 2, false);
}
TEST(shootdown_cross, "two CPUs shoot at each other at once, and both finish, under every policy");

static void shootdown_all_to_all(struct test *t)
{
    check_storm(t, cpu_online_count(), false);
}
TEST(shootdown_all_to_all, "every CPU shoots at all others in one space, and all finish, under every policy");

static void shootdown_same_page(struct test *t)
{
    check_storm(t, cpu_online_count(), true);
}
TEST(shootdown_same_page, "every CPU maps and unmaps the same page: operations on one range take turns");
