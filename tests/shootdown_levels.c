/* What holds when an operation returns, and which operations have to tell nobody. */
#include "apic/apic.h"
#include "kernel/trap.h"
#include "lib/context.h"
#include "mm/frame.h"
#include "mm/respond.h"
#include "smp/cpus.h"
#include "tests/residents.h"
#include "tests/window.h"

/* A whole table's worth of address space that nothing else is in: unmapping its one page frees tables. */
#define LONE_VA (TEST_USER_VA + GIB)

static err_t map_one(struct space *s, vaddr_t va, u32 prot)
{
    return space_map_fresh(s, va, 1, prot, FRAME_OWNER_TEST);
}

/* Every CPU that has the space loaded has published `level` for the last change. */
static void check_published(struct test *t, const struct space *s, enum tlb_level level, const char *policy,
                            const char *after)
{
    tlb_gen_t gen = atomic_load_relaxed(&s->gen);
    CPUMASK_FOREACH (c, &s->active)
        CHECK(
            t, published(&s->cpu[c], gen, level),
            "%s, after %s: CPU %u is not at %s of generation %llu (entered %llu, flushed %llu, walkers %llu)",
            policy, after, c, tlb_level_name(level), (unsigned long long)gen,
            (unsigned long long)s->cpu[c].entered, (unsigned long long)s->cpu[c].flushed,
            (unsigned long long)s->cpu[c].walkers);
}

/* After an unmap, for which a policy may promise less at return than when memory is given back. */
static void check_unmapped(struct test *t, struct space *s, const struct shootdown_policy *p,
                           enum tlb_level most, const char *after)
{
    if (p->at_return >= TLB_ENTERED)
        check_published(t, s, MIN(p->at_return, most), p->name, after);
    shootdown_settle(s, 0);
    check_published(t, s, MIN(p->at_release, most), p->name, after);
}

static void check_levels_of(struct test *t, const struct shootdown_policy *p)
{
    const struct shootdown_policy *before;
    struct residents r;
    if (!policy_use(t, p->name, &before))
        return;
    if (residents_enter(t, &r)) {
        vaddr_t va = RESIDENTS_FREE_VA;
        CHECK(t, cpumask_count(&r.space->active) == cpu_online_count(),
              "%u CPUs have the space loaded, not %u", cpumask_count(&r.space->active), cpu_online_count());

        CHECK(t, map_one(r.space, va, PT_WRITE) == ERR_OK, "map");
        CHECK(t, space_unmap(r.space, va, va + PAGE_SIZE) == ERR_OK, "unmap");
        check_unmapped(t, r.space, p, TLB_FLUSHED, "unmap");

        CHECK(t, map_one(r.space, va, PT_WRITE) == ERR_OK, "map");
        CHECK(t, space_protect(r.space, va, va + PAGE_SIZE, PT_READ) == ERR_OK, "protect");
        check_published(t, r.space, TLB_FLUSHED, p->name, "protect");

        CHECK(t, map_one(r.space, LONE_VA, PT_WRITE) == ERR_OK, "map");
        CHECK(t, space_unmap(r.space, LONE_VA, LONE_VA + PAGE_SIZE) == ERR_OK, "unmap");
        if (shootdown_policy_defers(p))
            shootdown_settle(r.space, 0);
        check_published(t, r.space, TLB_WALKERS, p->name, "unmap that freed tables");
    }
    residents_leave(t, &r);
    policy_restore(t, before);
}

static void shootdown_levels(struct test *t)
{
    TABLE_FOREACH (policy, struct shootdown_policy, p)
        if (POLICY_USABLE(p))
            check_levels_of(t, p);
}
TEST(shootdown_levels,
     "when an operation returns, every CPU has published the level it needs, under every policy");

static void shootdown_policies_are_sane(struct test *t)
{
    TABLE_FOREACH (policy, struct shootdown_policy, p) {
        CHECK(t, p->post && p->summary, "%s lacks a function or its summary", p->name);
        CHECK(t, p->control || p->at_release >= TLB_ENTERED, "%s releases memory at %s", p->name,
              tlb_level_name(p->at_release));
        CHECK(t, p->at_return <= p->at_release, "%s: %s at return, but only %s at release", p->name,
              tlb_level_name(p->at_return), tlb_level_name(p->at_release));
        for (enum tlb_level need = TLB_ENTERED; need <= TLB_WALKERS; need++) {
            const struct shootdown_policy *user = shootdown_route(p, need, false);
            const struct shootdown_policy *kernel = shootdown_route(p, need, true);
            CHECK(t, user->at_release >= need, "%s for %s goes to %s, which serves %s", p->name,
                  tlb_level_name(need), user->name, tlb_level_name(user->at_release));
            CHECK(t, kernel->at_return >= MAX(need, TLB_FLUSHED) && !kernel->control,
                  "%s for %s in a kernel range goes to %s, which serves %s", p->name, tlb_level_name(need),
                  kernel->name, tlb_level_name(kernel->at_return));
        }
    }
}
TEST(shootdown_policies_are_sane, "every request is routed to a policy that serves its level");

/* How many requests took a stronger path than the policy in force, during one operation. */
static u64 routed_by(struct test *t, err_t (*op)(struct space *s, vaddr_t va), struct space *s, vaddr_t va)
{
    u64 routed = counter_now(t, "shootdown_routed");
    err_t e = op(s, va);
    CHECK(t, e == ERR_OK, "%llx: %s", (unsigned long long)va, err_name(e));
    return counter_now(t, "shootdown_routed") - routed;
}

static err_t op_unmap(struct space *s, vaddr_t va)
{
    return space_unmap(s, va, va + PAGE_SIZE);
}
static err_t op_protect(struct space *s, vaddr_t va)
{
    return space_protect(s, va, va + PAGE_SIZE, PT_READ);
}

static void shootdown_early_ack_is_upgraded(struct test *t)
{
    const struct shootdown_policy *before;
    struct residents r;
    if (!policy_use(t, "early_ack", &before))
        return;
    if (residents_enter(t, &r)) {
        vaddr_t va = RESIDENTS_FREE_VA;
        CHECK(t, map_one(r.space, va, PT_WRITE) == ERR_OK, "map");
        u64 n = routed_by(t, op_protect, r.space, va);
        CHECK(t, n == 1, "taking writing away: %llu requests were upgraded, expected 1",
              (unsigned long long)n);
        n = routed_by(t, op_unmap, r.space, va);
        CHECK(t, n == 0, "a plain unmap: %llu requests were upgraded, expected none", (unsigned long long)n);
        CHECK(t, map_one(r.space, LONE_VA, PT_WRITE) == ERR_OK, "map");
        n = routed_by(t, op_unmap, r.space, LONE_VA);
        CHECK(t, n == 1, "freeing tables: %llu requests were upgraded, expected 1", (unsigned long long)n);
        CHECK(t, map_one(&kernel_space, TEST_KERNEL_VA, PT_WRITE) == ERR_OK, "map");
        n = routed_by(t, op_unmap, &kernel_space, TEST_KERNEL_VA);
        CHECK(t, n == 1, "a kernel range: %llu requests were upgraded, expected 1", (unsigned long long)n);
        check_published(t, &kernel_space, TLB_FLUSHED, "early_ack", "kernel unmap");
    }
    residents_leave(t, &r);
    policy_restore(t, before);
}
TEST(shootdown_early_ack_is_upgraded,
     "early_ack serves plain unmaps only; the rest takes a stronger path, and is counted");

static void shootdown_of_unloaded_space_tells_nobody(struct test *t)
{
    struct space *s;
    REQUIRE(t, space_create(&s) == ERR_OK, "no space");
    CHECK(t, space_map_fresh(s, TEST_USER_VA, 4, PT_WRITE, FRAME_OWNER_TEST) == ERR_OK, "map");
    u64 icr = apic_icr_writes();
    CHECK(t, space_unmap(s, TEST_USER_VA, TEST_USER_VA + 4 * PAGE_SIZE) == ERR_OK, "unmap");
    CHECK(t, apic_icr_writes() == icr, "%llu interrupts for a space that nobody has loaded",
          (unsigned long long)(apic_icr_writes() - icr));
    space_destroy(s);
    CHECK(t, apic_icr_writes() == icr, "its destruction sent %llu interrupts",
          (unsigned long long)(apic_icr_writes() - icr));
}
TEST(shootdown_of_unloaded_space_tells_nobody, "no interrupt is sent for a space that no CPU has loaded");

static void shootdown_of_own_space_tells_nobody(struct test *t)
{
    struct residents r;
    if (residents_enter_alone(t, &r)) {
        u64 v;
        CHECK(t, map_one(r.space, RESIDENTS_FREE_VA, PT_WRITE) == ERR_OK, "map");
        CHECK(t, safe_read_u64((void *)RESIDENTS_FREE_VA, &v) == 0, "the fresh page cannot be read");
        u64 icr = apic_icr_writes();
        CHECK(t, space_unmap(r.space, RESIDENTS_FREE_VA, RESIDENTS_FREE_VA + PAGE_SIZE) == ERR_OK, "unmap");
        CHECK(t, apic_icr_writes() == icr, "%llu interrupts for a space that only the initiator has loaded",
              (unsigned long long)(apic_icr_writes() - icr));
        int vector = safe_read_u64((void *)RESIDENTS_FREE_VA, &v);
        CHECK(t, vector == EXC_PAGE_FAULT, "reading the unmapped page here gave vector %d, not #PF", vector);
    }
    residents_leave(t, &r);
}
TEST(shootdown_of_own_space_tells_nobody, "a space loaded here only is flushed here, without an interrupt");

static void shootdown_not_needed_to_add(struct test *t)
{
    struct residents r;
    if (residents_enter(t, &r)) {
        vaddr_t va = RESIDENTS_FREE_VA;
        u64 icr = apic_icr_writes();
        tlb_gen_t gen = r.space->gen;
        CHECK(t, map_one(r.space, va, PT_READ) == ERR_OK, "map");
        CHECK(t, space_protect(r.space, va, va + PAGE_SIZE, PT_WRITE) == ERR_OK, "widen");
        CHECK(t, apic_icr_writes() == icr, "mapping and widening sent %llu interrupts",
              (unsigned long long)(apic_icr_writes() - icr));
        CHECK(t, r.space->gen == gen, "mapping and widening raised the generation by %llu",
              (unsigned long long)(r.space->gen - gen));
        CHECK(t, safe_write_u64((void *)va, 1) == 0, "the widened page cannot be written");
    }
    residents_leave(t, &r);
}
TEST(shootdown_not_needed_to_add, "mapping and widening tell nobody");

static void shootdown_not_needed_for_absent_pages(struct test *t)
{
    struct residents r;
    if (residents_enter(t, &r)) {
        u64 icr = apic_icr_writes();
        CHECK(t, space_unmap(r.space, LONE_VA, LONE_VA + 64 * PAGE_SIZE) == ERR_OK, "unmap of absent pages");
        CHECK(t, space_unmap(r.space, RESIDENTS_FREE_VA, RESIDENTS_FREE_VA + 64 * PAGE_SIZE) == ERR_OK,
              "unmap");
        CHECK(t, apic_icr_writes() == icr, "unmapping nothing sent %llu interrupts",
              (unsigned long long)(apic_icr_writes() - icr));
    }
    residents_leave(t, &r);
}
TEST(shootdown_not_needed_for_absent_pages, "unmapping what is not there tells nobody");
