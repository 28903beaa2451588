/* Bugs of other kernels in what an initiator waits for, each named after where it was found. The target takes no interrupt, or
 * stands still in its handler: whoever goes on meanwhile does so without its answer. */
#include "kernel/stop_point.h"
#include "kernel/trap.h"
#include "lib/context.h"
#include "mm/frame.h"
#include "mm/frame_internal.h"
#include "mm/pte.h"
#include "mm/respond.h"
#include "smp/message.h"
#include "tests/bug_cpus.h"
#include "tests/flag.h"
#include "tests/residents.h"
#include "tests/window.h"

#define LONE_VA (TEST_USER_VA + GIB) /* its one page has tables of its own */

/* The table page that the leaf at va stands in. */
static paddr_t table_of(const struct space *s, vaddr_t va)
{
    paddr_t table = s->pt.root;
    for (u32 level = PT_LEVEL_ROOT; level; level--) {
        const u64 *entry = phys_to_virt(table);
        table = pte_table(atomic_load_relaxed(&entry[pt_index(va, level)]));
    }
    return table;
}

static bool in_use(paddr_t p)
{
    return atomic_load_relaxed(&frame_of(p)->state) == FRAME_USED;
}

/* One unmap under the policy, of a page alone in its table or not, while a CPU that uses it has its interrupts off. */
static void play_deaf(struct test *t, const struct shootdown_policy *p, bool tables)
{
    struct space *s;
    vaddr_t va = tables ? LONE_VA : RESIDENTS_FREE_VA;
    const struct shootdown_policy *by = shootdown_route_lax(p, tables ? TLB_WALKERS : TLB_ENTERED, false);
    REQUIRE(t, space_create(&s) == ERR_OK, "no space");
    if (CHECK(t,
              space_map_fresh(s, TEST_USER_VA, 1, PT_WRITE, FRAME_OWNER_TEST) == ERR_OK &&
                  space_map_fresh(s, va, 1, PT_WRITE, FRAME_OWNER_TEST) == ERR_OK,
              "no pages")) {
        paddr_t page = space_query(s, va).pa, table = table_of(s, va);
        struct bug_user user = {.space = s, .va = {va}, .deaf = true};
        struct bug_unmap unmap = {.space = s, .va = va};
        CHECK(t, in_use(page) && in_use(table), "page and table are no frames in use");
        if (bug_use(t, bug_user_cpu(), &user)) {
            bool started = bug_unmap_on(t, bug_initiator_cpu(), &unmap);
            bug_turns();
            CHECK(t, !atomic_load_relaxed(&unmap.returned) || shootdown_policy_defers(by),
                  "%s: the unmap returned, and CPU %u has not answered", p->name, bug_user_cpu());
            CHECK(t, in_use(page), "%s: the page was given back, and CPU %u has not answered", p->name,
                  bug_user_cpu());
            CHECK(t, in_use(table), "%s: its table was given back, and CPU %u has not answered", p->name,
                  bug_user_cpu());
            bug_use_end(t, bug_user_cpu(), &user);
            if (started)
                bug_unmap_end(t, bug_initiator_cpu(), &unmap);
            shootdown_settle(s, 0);
            CHECK(t, !in_use(page) && in_use(table) == !tables,
                  "%s: what was to be given back in the end was not", p->name);
        }
    }
    space_destroy(s);
}

static void play_all_deaf(struct test *t, bool tables)
{
    u32 policies = 0;
    if (bug_initiator_cpu() == CPU_NONE) {
        test_skip(t, "needs 3 CPUs");
        return;
    }
    TABLE_FOREACH (policy, struct shootdown_policy, p) {
        const struct shootdown_policy *before;
        if (!POLICY_USABLE(p) || !policy_use(t, p->name, &before))
            continue;
        play_deaf(t, p, tables);
        policy_restore(t, before);
        policies++;
    }
    test_note(t, "%u policies", policies);
}

static void bug_rfc_v2_ack_not_awaited(struct test *t)
{
    play_all_deaf(t, false);
}
TEST(bug_rfc_v2_ack_not_awaited, "the asynchronous patch's second version: an unmap waits, or its page does, "
                                 "for a CPU that does not answer");

static void bug_hedron_free_later(struct test *t)
{
    play_all_deaf(t, true);
}
TEST(bug_hedron_free_later,
     "Hedron: a page-table page is not given back before a CPU that may walk it has answered");

/* ---- FreeBSD acknowledges before the flush whatever the range, the kernel's own too ---- */

/* Does the unmap return while its target stands between flush and publication? `expected`: it is waited for. */
static bool returns_early(struct test *t, struct space *user_space, struct space *s, vaddr_t va,
                          bool expected)
{
    struct bug_user user = {.space = user_space, .va = {va}};
    struct bug_unmap unmap = {.space = s, .va = va};
    cpu_t target = bug_user_cpu();
    bool early = false;
    err_t e = space_map_fresh(s, va, 1, PT_WRITE, FRAME_OWNER_TEST);
    if (!CHECK(t, e == ERR_OK, "map: %s", err_name(e)) || !bug_use(t, target, &user))
        return false;
    stop_hold(STOP_FLUSHED, target);
    if (bug_unmap_on(t, bug_initiator_cpu(), &unmap)) {
        CHECK(t, stop_wait_held(STOP_FLUSHED, target), "CPU %u does not flush", target);
        if (expected)
            (void)flag_wait(&unmap.returned, BUG_LIMIT_MS);
        else
            bug_turns();
        early = atomic_load_relaxed(&unmap.returned);
        stop_release(STOP_FLUSHED, target);
        bug_unmap_end(t, bug_initiator_cpu(), &unmap);
    }
    stop_clear();
    bug_use_end(t, target, &user);
    CHECK(t, user.after[0] == EXC_PAGE_FAULT, "CPU %u still reads the page: vector %d", target,
          user.after[0]);
    return early;
}

static void bug_freebsd_early_ack_of_kernel_pages(struct test *t)
{
    const struct shootdown_policy *before;
    struct space *s;
    if (bug_initiator_cpu() == CPU_NONE) {
        test_skip(t, "needs 3 CPUs");
        return;
    }
    REQUIRE(t, space_create(&s) == ERR_OK, "no space");
    err_t e = space_map_fresh(s, TEST_USER_VA, 1, PT_WRITE, FRAME_OWNER_TEST); /* keeps the table */
    if (CHECK(t, e == ERR_OK, "map: %s", err_name(e)) && policy_use(t, "early_ack", &before)) {
        if (CHECK(t, stop_begin() == ERR_OK, "no stop points")) {
            CHECK(t, returns_early(t, s, s, RESIDENTS_FREE_VA, true),
                  "the unmap of a user page waits for the flush: what follows would prove nothing");
            CHECK(t, !returns_early(t, s, &kernel_space, TEST_KERNEL_VA, false),
                  "the unmap of a kernel page was acknowledged before the flush");
            CHECK(t, stop_end(), "%s", stop_why());
        }
        policy_restore(t, before);
    }
    space_destroy(s);
}
TEST(bug_freebsd_early_ack_of_kernel_pages,
     "FreeBSD: early_ack is early for pages of ring 3, and never for the kernel's own");

/* ---- Theseus waits without a limit, and without saying for whom ---- */

static struct bug_user late;
static cpu_t reported;

static void let_go(cpu_t cpu)
{
    reported = cpu;
    flag_raise(&late.go);
}

static void play_late(struct test *t, const struct shootdown_policy *p)
{
    const struct shootdown_policy *before;
    struct residents r;
    cpu_t target = bug_user_cpu();
    if (!policy_use(t, p->name, &before))
        return;
    if (residents_enter_alone(t, &r) &&
        CHECK(t, space_map_fresh(r.space, RESIDENTS_FREE_VA, 1, PT_WRITE, FRAME_OWNER_TEST) == ERR_OK,
              "no page")) {
        late = (struct bug_user){.space = r.space, .va = {RESIDENTS_FREE_VA}, .deaf = true};
        reported = CPU_NONE;
        if (bug_use(t, target, &late)) {
            u64 reports = counter_now(t, "msg_watchdog_reports");
            err_t e = space_unmap(r.space, RESIDENTS_FREE_VA, RESIDENTS_FREE_VA + PAGE_SIZE);
            CHECK(t, e == ERR_OK, "unmap: %s", err_name(e));
            CHECK(t, reported == target && counter_now(t, "msg_watchdog_reports") > reports,
                  "%s: CPU %u did not answer, and the report names %d", p->name, target, (int)reported);
            bug_use_end(t, target, &late);
            CHECK(t, late.after[0] == EXC_PAGE_FAULT, "%s: it still reads the page: vector %d", p->name,
                  late.after[0]);
        }
    }
    residents_leave(t, &r);
    policy_restore(t, before);
}

static void bug_theseus_no_timeout(struct test *t)
{
    struct msg_watchdog limits = msg_watchdog;
    void (*hook)(cpu_t) = msg_stuck_hook;
    if (bug_user_cpu() == CPU_NONE) {
        test_skip(t, "needs 2 CPUs");
        return;
    }
    msg_watchdog = (struct msg_watchdog){.report_ms = 2, .retry_ms = 1000, .give_up_ms = 1500};
    msg_stuck_hook = let_go;
    TABLE_FOREACH (policy, struct shootdown_policy, p)
        if (POLICY_USABLE(p) && !p->special)
            play_late(t, p);
    msg_watchdog = limits;
    msg_stuck_hook = hook;
}
TEST(bug_theseus_no_timeout, "Theseus: a shootdown whose target has its interrupts off says for whom it "
                             "waits, and ends when that answers");
