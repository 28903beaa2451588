/* Every policy against what it declares: each operation, the path that it takes, the words that every CPU has published at return
 * and at release, and that memory is never given back before them. Goes through the policy table, so that a new file in
 * mm/shootdown/ is held to it by itself. Whether anything stale can be reached is what the tests of stale.c look at. */
#include "kernel/idle.h"
#include "kernel/trap.h"
#include "lib/context.h"
#include "lib/features.h"
#include "lib/string.h"
#include "lib/wait.h"
#include "mm/deferred.h"
#include "mm/frame.h"
#include "mm/frame_internal.h"
#include "mm/respond.h"
#include "smp/cpus.h"
#include "tests/residents.h"
#include "tests/window.h"

#define LONE_VA    (TEST_USER_VA + GIB) /* its one page has tables of its own */
#define RELEASE_MS 2000u

static err_t unmap(struct space *s, vaddr_t va)
{
    return space_unmap(s, va, va + PAGE_SIZE);
}
static err_t protect(struct space *s, vaddr_t va)
{
    return space_protect(s, va, va + PAGE_SIZE, PT_READ);
}
static err_t remap(struct space *s, vaddr_t va)
{
    paddr_t p;
    err_t e = frame_alloc_zeroed(FRAME_OWNER_TEST, &p);
    return e == ERR_OK ? space_remap(s, va, p, PT_4K, PT_WRITE | PT_OWNED) : e;
}

/* need: at release. level: what the request asks the targets for. lax: nothing is needed at return. lone: the tables go too. */
static const struct op {
    const char *name;
    err_t (*run)(struct space *s, vaddr_t va);
    enum tlb_level need, level;
    bool lax, kernel, lone;
} ops[] = {
    {"unmap", unmap, TLB_ENTERED, TLB_FLUSHED, true, false, false},
    {"protect", protect, TLB_FLUSHED, TLB_FLUSHED, false, false, false},
    {"remap", remap, TLB_FLUSHED, TLB_FLUSHED, false, false, false},
    {"table", unmap, TLB_WALKERS, TLB_WALKERS, true, false, true},
    {"kernel unmap", unmap, TLB_FLUSHED, TLB_WALKERS, true, true, false}, /* its table goes too */
    {"kernel remap", remap, TLB_FLUSHED, TLB_FLUSHED, false, true, false},
};

static struct {
    u32 cells, routed, deferred, nmi;
} sum;

static u32 count_behind(const struct space *s, tlb_gen_t gen, enum tlb_level level)
{
    u32 behind = 0;
    CPUMASK_FOREACH (c, &s->active)
        behind += !published(&s->cpu[c], gen, level);
    return behind;
}

static void check_words(struct test *t, const struct space *s, enum tlb_level level, const char *policy,
                        const char *op, const char *when)
{
    if (level < TLB_ENTERED)
        return;
    u32 behind = count_behind(s, atomic_load_relaxed(&s->gen), level);
    CHECK(t, behind == 0, "%s, %s, at %s: %u CPUs have not published %s", policy, op, when, behind,
          tlb_level_name(level));
}

/* Each shootdown under delivery=nmi is counted: by NMI where the policy that serves it allows that, and no tables go. */
static void check_way(struct test *t, const struct op *op, const struct shootdown_policy *by, u64 nmi,
                      u64 other)
{
    bool on = msg_delivery_get() == MSG_DELIVERY_NMI && cpu_online_count() > 1;
    bool may =
        by->post_nmi && op->level < TLB_WALKERS && (features.invpcid || features.pge || !features.pcid);
    CHECK(t, nmi == (on && may) && other == (on && !may),
          "%s, delivery=%s, %s: counted %llu times as by NMI, %llu times as not", by->name,
          msg_delivery_name(), op->name, (unsigned long long)nmi, (unsigned long long)other);
    sum.nmi += nmi;
}

static void check_cell(struct test *t, struct space *user, const struct shootdown_policy *p,
                       const struct op *op)
{
    struct space *s = op->kernel ? &kernel_space : user;
    vaddr_t va = op->kernel ? TEST_KERNEL_VA : op->lone ? LONE_VA : RESIDENTS_FREE_VA;
    const struct shootdown_policy *by =
        op->lax ? shootdown_route_lax(p, op->need, op->kernel) : shootdown_route(p, op->need, op->kernel);
    bool defers = shootdown_policy_defers(by);
    CHECK(t, by->at_release >= op->need && (op->lax || by->at_return >= op->need),
          "%s, %s: goes to %s, which serves %s at return and %s at release", p->name, op->name, by->name,
          tlb_level_name(by->at_return), tlb_level_name(by->at_release));

    if (!CHECK(t, space_map_fresh(s, va, 1, PT_WRITE, FRAME_OWNER_TEST) == ERR_OK, "no page for %s",
               op->name))
        return;
    u64 v, routed = counter_now(t, "shootdown_routed"), deferred = counter_now(t, "shootdown_deferred");
    u64 nmi = counter_now(t, "shootdown_by_nmi"), other = counter_now(t, "shootdown_not_by_nmi");
    tlb_gen_t gen = atomic_load_relaxed(&s->gen);
    CHECK(t, safe_read_u64((void *)va, &v) == 0, "%s: the fresh page cannot be read", op->name);
    err_t e = op->run(s, va);
    CHECK(t, e == ERR_OK, "%s, %s: %s", p->name, op->name, err_name(e));
    CHECK(t, atomic_load_relaxed(&s->gen) == gen + 1, "%s, %s: the generation rose by %llu", p->name,
          op->name, (unsigned long long)(atomic_load_relaxed(&s->gen) - gen));
    check_words(t, s, MIN(by->at_return, op->level), p->name, op->name, "return");
    CHECK(t, counter_now(t, "shootdown_routed") - routed == (by != p), "%s, %s: %s", p->name, op->name,
          by != p ? "took a stronger path, and was not counted" : "was counted as routed, and was not");
    CHECK(t, counter_now(t, "shootdown_deferred") - deferred == (defers && cpu_online_count() > 1),
          "%s, %s: %s", p->name, op->name, defers ? "was not deferred" : "was deferred");
    check_way(t, op, by, counter_now(t, "shootdown_by_nmi") - nmi,
              counter_now(t, "shootdown_not_by_nmi") - other);
    shootdown_settle(s, 0);
    CHECK(t, s->in_flight == NULL, "%s, %s: still in flight after all has settled", p->name, op->name);
    check_words(t, s, MIN(by->at_release, op->level), p->name, op->name, "release");
    if (op->run != unmap)
        CHECK(t, unmap(s, va) == ERR_OK, "unmap");
    shootdown_settle(s, 0);
    sum.cells++;
    sum.routed += by != p;
    sum.deferred += defers;
}

static u32 check_all(struct test *t, bool idle)
{
    u32 policies = 0;
    TABLE_FOREACH (policy, struct shootdown_policy, p) {
        const struct shootdown_policy *before;
        struct residents r;
        if (!POLICY_USABLE(p) || !policy_use(t, p->name, &before))
            continue;
        policies++;
        if (idle ? residents_enter_idle(t, &r) : residents_enter(t, &r))
            for (u32 i = 0; i < ARRAY_SIZE(ops); i++)
                check_cell(t, r.space, p, &ops[i]);
        residents_leave(t, &r);
        policy_restore(t, before);
    }
    return policies;
}

/* delivery=mwait, with residents that watch their inbox, as every machine can by polling: how often the store alone was enough. */
static u64 check_by_store(struct test *t)
{
    enum idle_how how = idle_how();
    u64 before = counter_now(t, "msg_woken_by_store");
    if (!CHECK(t, idle_use(IDLE_POLL) == ERR_OK, "idle CPUs cannot poll"))
        return 0;
    msg_delivery_set(MSG_DELIVERY_MWAIT);
    (void)check_all(t, true);
    CHECK(t, idle_use(how) == ERR_OK, "idle= cannot be put back");
    u64 by_store = counter_now(t, "msg_woken_by_store") - before;
    CHECK(t, by_store || cpu_online_count() == 1 || !inbox_watch_is_possible(),
          "no CPU that watches its inbox was told by a store alone");
    return by_store;
}

static void shootdown_conformance(struct test *t)
{
    enum msg_delivery was = msg_delivery_get();
    u32 policies = 0;
    memset(&sum, 0, sizeof(sum));
    DELIVERIES_FOREACH(d)
    {
        msg_delivery_set(*d);
        policies += check_all(t, false);
    }
    u64 by_store = check_by_store(t);
    msg_delivery_set(was);
    test_note(
        t,
        "%u policies, %u deliveries, %u cells, of them %u routed, %u deferred, %u by NMI; %llu CPUs told by "
        "the store alone",
        policies / TEST_DELIVERIES, TEST_DELIVERIES + 1, sum.cells, sum.routed, sum.deferred, sum.nmi,
        (unsigned long long)by_store);
}
TEST(shootdown_conformance,
     "each policy, each delivery, each operation: path, and words at return and at release, as declared");

/* ---- never too early ---- */

#define CONTENT 0xc0ffee00c0ffee00ull

/* One unmap with every other CPU's interrupts off for a while. How often the frame was seen free while a CPU had not
 * published the level yet; ~0: it was never given back. */
static u64 released_early(struct test *t, struct space *s, enum tlb_level level)
{
    struct observation x = {.space = s, .va = RESIDENTS_FREE_VA, .before = CONTENT, .irqs_off = true};
    if (!CHECK(t, space_map_fresh(s, x.va, 1, PT_WRITE, FRAME_OWNER_TEST) == ERR_OK, "no page"))
        return ~0ull;
    paddr_t pa = space_query(s, x.va).pa;
    const u8 *state = &frame_of(pa)->state;
    observe_fill(pa, CONTENT);
    u64 early = 0;
    bool started = observers_start(&x), free = false;
    CHECK(t, started, "%s", x.broken);
    tlb_gen_t gen = atomic_load_relaxed(&s->gen) + 1;
    CHECK(t, unmap(s, x.va) == ERR_OK, "unmap");
    struct wait w = WAIT("a frame to be given back", wait_ms(RELEASE_MS));
    do {
        free = atomic_load_relaxed(state) != FRAME_USED;
        early +=
            free &&
            count_behind(s, gen, level); /* the words are looked at second, which may excuse, never accuse */
        if (!free)
            (void)deferred_sweep_all(s);
    } while (!free && wait_spin(&w));
    observers_finish(&x);
    return free ? early : ~0ull;
}

static u64 play_release(struct test *t, const struct shootdown_policy *p, enum tlb_level level)
{
    const struct shootdown_policy *before;
    struct residents r;
    u64 early = ~0ull;
    if (!policy_use(t, p->name, &before))
        return early;
    if (residents_enter_alone(t, &r))
        early = released_early(t, r.space, level);
    residents_leave(t, &r);
    policy_restore(t, before);
    return early;
}

static void shootdown_never_releases_early(struct test *t)
{
    TABLE_FOREACH (policy, struct shootdown_policy, p)
        if (POLICY_USABLE(p)) {
            u64 early = play_release(t, p, MIN(p->at_release, TLB_FLUSHED));
            CHECK(t, early != ~0ull, "%s: the frame was never given back", p->name);
            CHECK(t, early == 0 || early == ~0ull, "%s: the frame was given back before %s held", p->name,
                  tlb_level_name(p->at_release));
        }
}
TEST(shootdown_never_releases_early,
     "no policy gives a frame back before every CPU has published the level it declares");

static void shootdown_control_releases_early(struct test *t)
{
    if (cpu_online_count() < 2) {
        test_skip(t, "needs 2 CPUs");
        return;
    }
    bool was_allowed = shootdown_unsafe_allowed();
    shootdown_unsafe_allow(true);
    u32 controls = 0;
    TABLE_FOREACH (policy, struct shootdown_policy, p)
        if (p->control) {
            controls++;
            u64 early = play_release(t, p, TLB_ENTERED);
            CHECK(t, early != 0 && early != ~0ull,
                  "%s gave the frame back too early, and the check did not see it", p->name);
        }
    CHECK(t, controls > 0, "there is no control");
    shootdown_unsafe_allow(was_allowed);
}
TEST(shootdown_control_releases_early, "the same check catches the policy that is broken on purpose");
