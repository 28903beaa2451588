/* The steps of an initiator against those of a CPU that loads the space, or comes back to a root that it has only borrowed: each pair in
 * both orders, under every policy. As tests/litmus_orders.c, whose target is in the space all the time.
 *
 * The rule: what the loader reads is the page's old content or a fault, as long as the unmap has not returned; after that, a fault.
 * The initiator's steps are those of the core, which it makes under every policy and before it waits for anybody: so that it
 * can pass each of them while the loader, with interrupts off, is held. */
#include "kernel/stop_point.h"
#include "kernel/trap.h"
#include "kernel/worker.h"
#include "lib/context.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "smp/cpus.h"
#include "tests/flag.h"
#include "tests/observer.h"
#include "tests/oracle.h"
#include "tests/residents.h"
#include "tests/window.h"

#define INITIATOR 0u
#define LOADER    1u
#define LIMIT_MS  5000u
#define SETTLE_US 1000u
#define OLD       0x01d0000000000003ull
#define NEW       0x2e30000000000004ull

static const enum stop_point changing[] = {STOP_CHANGED, STOP_GENERATION, STOP_MASK, STOP_UNLOCKED};
static const enum stop_point loading[] = {STOP_SWITCHING, STOP_JOINED, STOP_GEN_READ, STOP_ROOT, STOP_LOADED};

static struct play {
    struct space *space;
    bool borrow;   /* the loader has only borrowed the root meanwhile */
    bool irqs_off; /* for the control: the loader takes no interrupt between its two reads */
    u32 away, go, loaded, changed;
    int before, after; /* vectors of the two reads; 0: there was something to read */
    u64 found[2];
} play;

/* Has the page cached, goes away, comes back, reads, and once more when the change has returned. */
static void loader(void *arg)
{
    struct play *p = arg;
    u64 v;
    preempt_disable();
    space_load(p->space);
    (void)safe_read_u64((void *)RESIDENTS_FREE_VA, &v);
    if (p->borrow)
        space_borrow();
    else
        space_load(NULL);
    flag_raise(&p->away);
    (void)flag_wait(&p->go, LIMIT_MS);
    bool was_on = irq_enabled();
    if (p->irqs_off)
        irq_disable();
    space_load(p->space);
    p->before = safe_read_u64((void *)RESIDENTS_FREE_VA, &p->found[0]);
    flag_raise(&p->loaded);
    (void)flag_wait(&p->changed, LIMIT_MS);
    p->after = safe_read_u64((void *)RESIDENTS_FREE_VA, &p->found[1]);
    irq_restore(was_on);
    space_load(NULL);
    preempt_enable();
}

/* The frame's new owner, if the very frame can be had. */
static paddr_t reuse(paddr_t old)
{
    paddr_t p;
    if (frame_alloc(FRAME_OWNER_TEST, &p) != ERR_OK)
        return PADDR_NONE;
    if (p.v == old.v)
        observe_fill(p, NEW);
    return p;
}

static void unmap_and_reuse(struct test *t)
{
    paddr_t frame = space_query(play.space, RESIDENTS_FREE_VA).pa;
    err_t e = space_unmap(play.space, RESIDENTS_FREE_VA, RESIDENTS_FREE_VA + PAGE_SIZE);
    CHECK(t, e == ERR_OK, "unmap: %s", err_name(e));
    if (shootdown_policy_defers(shootdown_policy()))
        shootdown_settle(play.space, SETTLE_US);
    paddr_t reused = reuse(frame);
    flag_raise(&play.changed);
    CHECK(t, worker_wait(LOADER, 2 * LIMIT_MS) == ERR_OK, "CPU %u does not end", LOADER);
    if (!paddr_is_none(reused))
        frame_free(reused);
}

/* One round. order: called when the loader is away, to arrange who waits for whom. */
static bool round(struct test *t, bool borrow, bool irqs_off, void (*order)(const void *arg), const void *arg)
{
    play = (struct play){.borrow = borrow, .irqs_off = irqs_off};
    if (!CHECK(t, space_create(&play.space) == ERR_OK, "no space"))
        return false;
    err_t e = space_map_fresh(play.space, TEST_USER_VA, 2, PT_WRITE, FRAME_OWNER_TEST);
    bool ready = CHECK(t, e == ERR_OK, "map: %s", err_name(e));
    if (ready) {
        observe_fill(space_query(play.space, RESIDENTS_FREE_VA).pa, OLD);
        ready = CHECK(t, worker_start(LOADER, loader, &play) == ERR_OK, "CPU %u is at other work", LOADER);
    }
    if (ready) {
        CHECK(t, flag_wait(&play.away, LIMIT_MS), "CPU %u does not load the space", LOADER);
        if (order)
            order(arg);
        flag_raise(&play.go);
        if (irqs_off)
            CHECK(t, flag_wait(&play.loaded, LIMIT_MS), "CPU %u does not come back", LOADER);
        unmap_and_reuse(t);
    }
    space_destroy(play.space);
    return ready;
}

struct pair {
    enum stop_point change, load;
    bool load_first;
};

static void arrange(const void *arg)
{
    const struct pair *p = arg;
    if (p->load_first)
        stop_order(p->load, LOADER, p->change, INITIATOR);
    else
        stop_order(p->change, INITIATOR, p->load, LOADER);
}

/* Can it be forced? A policy that stops CPUs before the change waits for one that is held behind its bit in the mask; who comes
 * back to a borrowed root passes one step only. */
static bool is_possible(const struct shootdown_policy *p, const struct pair *o, bool borrow)
{
    if (borrow && o->load != STOP_JOINED)
        return false;
    return o->load_first || o->load == STOP_SWITCHING || !p->prepare;
}

static void judge(struct test *t, const struct shootdown_policy *p, const struct pair *o, bool borrow)
{
    const char *first = stop_name(o->load_first ? o->load : o->change);
    const char *then = stop_name(o->load_first ? o->change : o->load);
    const char *how = borrow ? ", borrowed" : "";
    CHECK(t, play.before || play.found[0] == OLD, "%s, %s before %s%s: the loader found %llx", p->name, first,
          then, how, (unsigned long long)play.found[0]);
    CHECK(t, play.after, "%s, %s before %s%s: after the unmap has returned the loader found %llx", p->name,
          first, then, how, (unsigned long long)play.found[1]);
    CHECK(t, !stop_is_overdue(), "%s, %s before %s%s: %s", p->name, first, then, how, stop_why());
}

static u32 play_orders(struct test *t, const struct shootdown_policy *p, bool borrow)
{
    u32 played = 0;
    for (u32 i = 0; i < 2 * ARRAY_SIZE(changing) * ARRAY_SIZE(loading) && !t->failures; i++) {
        struct pair o = {.change = changing[i / 2 % ARRAY_SIZE(changing)],
                         .load = loading[i / 2 / ARRAY_SIZE(changing)],
                         .load_first = i % 2};
        if (!is_possible(p, &o, borrow))
            continue;
        stop_clear();
        if (round(t, borrow, false, arrange, &o))
            judge(t, p, &o, borrow);
        stop_clear();
        played++;
    }
    return played;
}

/* A policy that waits for nobody, and a loader that takes no interrupt between its two reads. */
static bool control_is_caught(struct test *t)
{
    bool was_allowed = shootdown_unsafe_allowed(), caught = false;
    shootdown_unsafe_allow(true);
    if (shootdown_policy_set("unsafe_nowait") == ERR_OK && round(t, false, true, NULL, NULL))
        caught = !play.before && !play.after;
    shootdown_unsafe_allow(was_allowed);
    return caught;
}

static void litmus_load_orders(struct test *t)
{
    const struct shootdown_policy *before = shootdown_policy();
    u32 policies = 0, orders = 0;
    if (!cpu_is_online(LOADER) || cpu_self() != INITIATOR) {
        test_skip(t, "needs CPUs 0 and 1");
        return;
    }
    REQUIRE(t, stop_begin() == ERR_OK, "the stop points cannot be switched on");
    TABLE_FOREACH (policy, struct shootdown_policy, p) {
        if (!POLICY_USABLE(p) || t->failures || shootdown_policy_set(p->name) != ERR_OK)
            continue;
        policies++;
        orders += play_orders(t, p, false) + play_orders(t, p, true);
    }
    CHECK(t, stop_end(), "%s", stop_why());
    bool caught = control_is_caught(t);
    policy_restore(t, before);
    test_note(t, "%u policies, %u orders of two steps forced; the control was %scaught", policies, orders,
              caught ? "" : "not ");
    if (!oracle.read || !oracle.remote)
        test_blind(t, "a missing flush would not show on this machine");
    else
        CHECK(t, caught, "the control, which waits for nobody, was not caught");
}
TEST(litmus_load_orders, "an unmap, the frame to a new owner, against a CPU that loads the space or returns "
                         "to it: every two steps in "
                         "both orders, every policy");
