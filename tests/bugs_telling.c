/* Bugs of other kernels in who is told of a change, and of which: each named after where it was found. */
#include "apic/apic.h"
#include "kernel/stop_point.h"
#include "kernel/trap.h"
#include "kernel/worker.h"
#include "lib/context.h"
#include "lib/counter.h"
#include "lib/wait.h"
#include "mm/frame.h"
#include "smp/cpus.h"
#include "tests/bug_cpus.h"
#include "tests/flag.h"
#include "tests/oracle.h"
#include "tests/residents.h"
#include "tests/window.h"

static bool needs_user(struct test *t)
{
    if (bug_user_cpu() == CPU_NONE)
        test_skip(t, "needs 2 CPUs");
    return !t->skipped;
}

/* A space with a page that stays, and so many from RESIDENTS_FREE_VA on. NULL, and said so: no memory. */
static struct space *with_pages(struct test *t, u32 pages)
{
    struct space *s;
    if (!CHECK(t, space_create(&s) == ERR_OK, "no space"))
        return NULL;
    err_t e = space_map_fresh(s, TEST_USER_VA, 1 + pages, PT_WRITE, FRAME_OWNER_TEST);
    CHECK(t, e == ERR_OK, "map: %s", err_name(e));
    return s;
}

/* ---- nobody else is told ---- */

/* A page of s is taken away here while another CPU, which runs in user_space, has it cached. */
static void play_told(struct test *t, struct space *user_space, struct space *s, vaddr_t va)
{
    struct bug_user user = {.space = user_space, .va = {va}};
    const struct counter *passed_by = counter_find("tlb_request_not_loaded");
    if (!bug_use(t, bug_user_cpu(), &user))
        return;
    u64 before = counter_value(passed_by, bug_user_cpu());
    err_t e = space_unmap(s, va, va + PAGE_SIZE);
    CHECK(t, e == ERR_OK, "unmap: %s", err_name(e));
    shootdown_settle(s, 0);
    /* It would be told once more, as one that is late, and forget everything. */
    CHECK(t, counter_value(passed_by, bug_user_cpu()) == before,
          "policy %s: CPU %u took the request for one that does not concern it", shootdown_policy()->name,
          bug_user_cpu());
    bug_use_end(t, bug_user_cpu(), &user);
    CHECK(t, user.after[0] == EXC_PAGE_FAULT, "policy %s: CPU %u still reads the page: vector %d",
          shootdown_policy()->name, bug_user_cpu(), user.after[0]);
}

static void play_all_told(struct test *t, bool kernel)
{
    if (!needs_user(t))
        return;
    TABLE_FOREACH (policy, struct shootdown_policy, p) {
        const struct shootdown_policy *before;
        if (!POLICY_USABLE(p) || !policy_use(t, p->name, &before))
            continue;
        struct space *s = with_pages(t, kernel ? 0 : 1);
        vaddr_t va = kernel ? TEST_KERNEL_VA : RESIDENTS_FREE_VA;
        if (s) {
            if (!kernel ||
                CHECK(t, space_map_fresh(&kernel_space, va, 1, PT_WRITE, FRAME_OWNER_TEST) == ERR_OK,
                      "no page"))
                play_told(t, s, kernel ? &kernel_space : s, va);
            space_destroy(s);
        }
        policy_restore(t, before);
    }
    if (!oracle.read)
        test_blind(t, "a missing flush would not show on this machine");
}

static void bug_barrelfish_local_flush_only(struct test *t)
{
    play_all_told(t, false);
}
TEST(bug_barrelfish_local_flush_only,
     "Barrelfish's last tree: an unmap is not over when only its own CPU has flushed");

static void bug_managarm_no_global_shootdown(struct test *t)
{
    play_all_told(t, true);
}
TEST(bug_managarm_no_global_shootdown,
     "managarm: who runs in a space of its own is told of the kernel's pages too");

/* ---- the wrong one is told ---- */

/* Of so many CPUs each, then the first of as many. */
#define DESTINATIONS 8u

static const enum msg_delivery deliveries[] = {MSG_DELIVERY_UNICAST, MSG_DELIVERY_SHORTHAND,
                                               MSG_DELIVERY_CLUSTER};

static void play_destination(struct test *t, cpu_t user_cpu)
{
    static u64 before[MAX_CPUS];
    const struct counter *requests = counter_find("tlb_requests");
    struct space *s = with_pages(t, 1);
    struct bug_user user = {.space = s, .va = {RESIDENTS_FREE_VA}};
    if (!s)
        return;
    if (bug_use(t, user_cpu, &user)) {
        CPUMASK_FOREACH (c, &cpus_online)
            before[c] = counter_value(requests, c);
        err_t e = space_unmap(s, RESIDENTS_FREE_VA, RESIDENTS_FREE_VA + PAGE_SIZE);
        CHECK(t, e == ERR_OK, "unmap: %s", err_name(e));
        CPUMASK_FOREACH (c, &cpus_online)
            CHECK(t, counter_value(requests, c) - before[c] == (c == user_cpu),
                  "delivery=%s: CPU %u has the page, and CPU %u took %llu requests", msg_delivery_name(),
                  user_cpu, c, (unsigned long long)(counter_value(requests, c) - before[c]));
        bug_use_end(t, user_cpu, &user);
        CHECK(t, user.after[0] == EXC_PAGE_FAULT, "CPU %u still reads the page: vector %d", user_cpu,
              user.after[0]);
    }
    space_destroy(s);
}

static void bug_managarm_ipi_destination(struct test *t)
{
    enum msg_delivery was = msg_delivery_get();
    const struct shootdown_policy *before;
    if (!needs_user(t) || !policy_use(t, "sync", &before))
        return;
    u64 again = counter_now(t, "msg_rings_again");
    for (u32 i = 0; i < ARRAY_SIZE(deliveries); i++) {
        msg_delivery_set(deliveries[i]);
        CPUMASK_FOREACH (c, &cpus_online)
            if (c != cpu_self() && (c < DESTINATIONS || c % DESTINATIONS == 0))
                play_destination(t, c);
    }
    CHECK(t, counter_now(t, "msg_rings_again") == again, "the watchdog rang again: somebody was not told");
    msg_delivery_set(was);
    policy_restore(t, before);
}
TEST(bug_managarm_ipi_destination, "managarm: exactly the CPU that has the space is told, whichever it is");

/* ---- it is told of one change, and believes that it knows of the next ---- */

static void let_user_go(void *arg)
{
    stop_release(*(enum stop_point *)arg, bug_user_cpu());
}

/* The user stands still, told of the first change, before it has looked how many there were, or with the page flushed and nothing
 * published; only then the second change is made, and when its initiator begins to wait the user goes on: what it publishes must not
 * stand for the second, unless it forgets that page too. */
static void play_sequence(struct test *t, struct space *s, enum stop_point point)
{
    cpu_t target = bug_user_cpu();
    vaddr_t second = RESIDENTS_FREE_VA + PAGE_SIZE;
    struct bug_user user = {.space = s, .va = {RESIDENTS_FREE_VA, second}};
    struct bug_unmap first = {.space = s, .va = RESIDENTS_FREE_VA};
    if (!bug_use(t, target, &user))
        return;
    stop_hold(point, target);
    if (bug_unmap_on(t, bug_initiator_cpu(), &first)) {
        CHECK(t, stop_wait_held(point, target), "CPU %u does not come to the point %s", target,
              stop_name(point));
        stop_call(STOP_WAIT, cpu_self(), let_user_go, &point);
        err_t e = space_unmap(s, second, second + PAGE_SIZE);
        CHECK(t, e == ERR_OK, "unmap: %s", err_name(e));
        bug_unmap_end(t, bug_initiator_cpu(), &first);
    }
    stop_clear();
    bug_use_end(t, target, &user);
    CHECK(t, user.after[0] == EXC_PAGE_FAULT && user.after[1] == EXC_PAGE_FAULT,
          "after both changes the pages give CPU %u the vectors %d and %d", target, user.after[0],
          user.after[1]);
}

static void bug_managarm_sequence_number(struct test *t)
{
    static const enum stop_point points[] = {STOP_PENDING, STOP_FLUSHED};
    const struct shootdown_policy *before;
    if (bug_initiator_cpu() == CPU_NONE) {
        test_skip(t, "needs 3 CPUs");
        return;
    }
    if (!policy_use(t, "sync", &before))
        return;
    if (CHECK(t, stop_begin() == ERR_OK, "no stop points")) {
        for (u32 i = 0; i < ARRAY_SIZE(points); i++) {
            struct space *s = with_pages(t, 2);
            if (!s)
                break;
            play_sequence(t, s, points[i]);
            space_destroy(s);
        }
        CHECK(t, stop_end(), "%s", stop_why());
    }
    policy_restore(t, before);
    if (!oracle.remote)
        test_blind(t, "a stale entry of another CPU would not show on this machine");
}
TEST(bug_managarm_sequence_number,
     "managarm: a CPU that has flushed for one change does not pass for having flushed for the next");

/* ---- it is told before there is anything to read ---- */

/* Each interrupt is one turn of all CPUs under an emulator, and proves nothing there. */
static u32 rounds(void)
{
    return emulator == EMULATOR_NONE ? 100000u : 32u;
}

static struct {
    u64 word CACHE_ALIGNED;
    u32 ready CACHE_ALIGNED, taken, stale;
} fence;

static u64 raw_count(void)
{
    return atomic_load_relaxed(&per_cpu(trap_raw_count, cpu_self()));
}

static void receive(void *arg)
{
    struct wait w = WAIT("raw interrupts", wait_ms(BUG_LIMIT_MS));
    u32 n = rounds();
    (void)arg;
    preempt_disable();
    u64 before = raw_count();
    flag_raise(&fence.ready);
    for (u32 i = 1; i <= n; i++) {
        while (raw_count() == before && wait_spin(&w))
            ;
        before++;
        if (atomic_load_relaxed(&fence.word) != i)
            fence.stale++;
        /* orders: our look before the next store of the word; pairs with:
         * tests/bugs_telling.c:bug_managarm_icr_without_fence (acquire); else: a word of the next round could pass for this one's. */
        atomic_store_release(&fence.taken, i);
    }
    preempt_enable();
}

static void bug_managarm_icr_without_fence(struct test *t)
{
    cpu_t to = bug_user_cpu();
    u32 n = rounds();
    if (!needs_user(t))
        return;
    fence.word = fence.ready = fence.taken = fence.stale = 0;
    REQUIRE(t, worker_start(to, receive, NULL) == ERR_OK, "CPU %u is at other work", to);
    CHECK(t, flag_wait(&fence.ready, BUG_LIMIT_MS), "CPU %u does not begin", to);
    struct wait w = WAIT("a word to be taken", wait_ms(BUG_LIMIT_MS));
    for (u32 i = 1; i <= n; i++) {
        atomic_store_relaxed(&fence.word, i); /* no fence but the one of who writes the interrupt command */
        apic_send_fixed(cpu_apic_id(to), VECTOR_RAW);
        /* orders: the next store of the word after the other CPU's look; pairs with: tests/bugs_telling.c:receive (release); else: as
         * there. */
        while (atomic_load_acquire(&fence.taken) != i)
            if (!wait_spin(&w))
                break;
    }
    CHECK(t, worker_wait(to, 2 * BUG_LIMIT_MS) == ERR_OK, "CPU %u does not end", to);
    CHECK(t, fence.taken == n && fence.stale == 0,
          "CPU %u took %u of %u interrupts; in %u the word was not there yet", to, fence.taken, n,
          fence.stale);
    if (emulator != EMULATOR_NONE)
        test_note(t, "an emulator's interrupt command waits for all stores: only hardware can fail");
}
TEST(bug_managarm_icr_without_fence,
     "managarm: what is stored before an interrupt command is there when the interrupt is");
