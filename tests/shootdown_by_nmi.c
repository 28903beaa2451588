/* delivery=nmi: a shootdown reaches CPUs that take no interrupts, and finds them at any step of what they do. */
#include "kernel/stop_point.h"
#include "kernel/trap.h"
#include "kernel/worker.h"
#include "lib/atomic.h"
#include "lib/context.h"
#include "lib/string.h"
#include "lib/wait.h"
#include "mm/frame.h"
#include "mm/respond.h"
#include "tests/flag.h"
#include "tests/residents.h"
#include "tests/window.h"

#define LIMIT_MS 2000u
#define PAGE_VA  RESIDENTS_FREE_VA
#define LONE_VA  (TEST_USER_VA + GIB) /* its one page has tables of its own */

/* What the target does; written by it alone, but for `go_on`. */
static struct {
    struct space *space;
    u32 cached, ready, go_on, over;
    int before, after; /* of reading the page: 0, or the vector raised */
    u64 waited_at;     /* times at a point */
    u64 served;        /* of these, with an NMI's request taken while it was there */
} target;

static bool map_page(struct test *t, struct space *s, vaddr_t va)
{
    err_t e = space_map_fresh(s, va, 1, PT_WRITE, FRAME_OWNER_TEST);
    return CHECK(t, e == ERR_OK, "map: %s", err_name(e));
}

/* ---- interrupts off ---- */

static void deaf_main(void *arg)
{
    u64 v;
    (void)arg;
    bool was_on = irq_save();
    space_load(target.space);
    target.before = safe_read_u64((void *)PAGE_VA, &v);
    flag_raise(&target.ready);
    (void)flag_wait(&target.go_on, LIMIT_MS);
    target.after = safe_read_u64((void *)PAGE_VA, &v);
    space_load(NULL);
    flag_raise(&target.over);
    irq_restore(was_on);
}

static void check_deaf(struct test *t, struct space *s, cpu_t cpu, const char *policy)
{
    const struct shootdown_policy *before;
    if (!policy_use(t, policy, &before) || !map_page(t, s, PAGE_VA))
        return;
    memset(&target, 0, sizeof(target));
    target.space = s;
    if (CHECK(t, worker_start(cpu, deaf_main, NULL) == ERR_OK, "CPU %u takes no work", cpu) &&
        CHECK(t, flag_wait(&target.ready, LIMIT_MS), "CPU %u does not begin", cpu)) {
        u64 taken = counter_value(counter_find("tlb_requests_by_nmi"), cpu);
        err_t e = space_unmap(s, PAGE_VA, PAGE_VA + PAGE_SIZE);
        CHECK(t, e == ERR_OK && !atomic_load_relaxed(&target.over), "%s: unmap: %s, and CPU %u %s", policy,
              err_name(e), cpu, target.over ? "took interrupts meanwhile" : "took none");
        CHECK(t, counter_value(counter_find("tlb_requests_by_nmi"), cpu) == taken + 1,
              "%s: CPU %u was not told by NMI", policy, cpu);
        flag_raise(&target.go_on);
        CHECK(t, worker_wait(cpu, LIMIT_MS) == ERR_OK, "CPU %u does not come back", cpu);
        CHECK(t, target.before == 0 && target.after == EXC_PAGE_FAULT,
              "%s: CPU %u read the page with %d before, and with %d after it was taken away", policy, cpu,
              target.before, target.after);
    }
    policy_restore(t, before);
}

static void nmi_shootdown_needs_no_interrupts(struct test *t)
{
    cpu_t cpu = cpumask_next(&cpus_online, 1);
    enum msg_delivery was = msg_delivery_get();
    struct residents r;
    if (cpu == CPU_NONE) {
        test_skip(t, "needs 2 CPUs");
        return;
    }
    if (residents_enter_alone(t, &r)) {
        msg_delivery_set(MSG_DELIVERY_NMI);
        check_deaf(t, r.space, cpu, "sync");
        check_deaf(t, r.space, cpu, "concurrent");
        check_deaf(t, r.space, cpu, "early_ack");
        msg_delivery_set(was);
    }
    residents_leave(t, &r);
}
TEST(
    nmi_shootdown_needs_no_interrupts,
    "delivery=nmi: an unmap ends while its target has interrupts off, and the target has forgotten the page");

/* ---- at each step ---- */

/* The target is at the point, in whatever context that is: it lets the initiator begin, and stays until it has taken an NMI's
 * request, or the initiator needs it to go on. */
static void at_point(void *arg)
{
    const struct counter *taken = arg;
    u64 before = counter_value(taken, cpu_self());
    struct wait w = WAIT("an NMI at this step", wait_ms(LIMIT_MS));
    if (!target.cached || target.ready)
        return; /* not yet; once is enough */
    target.waited_at++;
    flag_raise(&target.ready);
    while (counter_value(taken, cpu_self()) == before && !atomic_load_relaxed(&target.go_on) && wait_spin(&w))
        ;
    target.served += counter_value(taken, cpu_self()) != before;
}

/* Goes by every step of a load and of borrowing, with the page's entry cached before and used after. */
static void load_main(void *arg)
{
    u64 v;
    (void)arg;
    preempt_disable();
    space_load(target.space);
    target.before = safe_read_u64((void *)PAGE_VA, &v);
    flag_raise(&target.cached);
    space_borrow();
    space_load(target.space); /* comes back */
    space_load(NULL);
    space_load(target.space);
    (void)flag_wait(&target.go_on, LIMIT_MS);
    target.after = safe_read_u64((void *)PAGE_VA, &v);
    space_load(NULL);
    preempt_enable();
}

/* Runs in the space, and is interrupted for a freed table, which never comes by NMI. */
static void interrupted_main(void *arg)
{
    u64 v;
    (void)arg;
    preempt_disable();
    space_load(target.space);
    target.before = safe_read_u64((void *)PAGE_VA, &v);
    flag_raise(&target.cached);
    (void)flag_wait(&target.go_on, LIMIT_MS);
    target.after = safe_read_u64((void *)PAGE_VA, &v);
    space_load(NULL);
    preempt_enable();
}

static void free_table_main(void *arg)
{
    struct test *t = arg;
    if (flag_wait(&target.cached, LIMIT_MS))
        CHECK(t, space_unmap(target.space, LONE_VA, LONE_VA + PAGE_SIZE) == ERR_OK, "unmap of a lone page");
}

static const struct step {
    enum stop_point point;
    bool in_handler; /* of a message; else while loading */
} steps[] = {
    {STOP_SWITCHING, false}, {STOP_JOINED, false},   {STOP_GEN_READ, false}, {STOP_ROOT, false},
    {STOP_LOADED, false},    {STOP_BORROWED, false}, {STOP_ENTERED, true},   {STOP_TAKEN, true},
    {STOP_PENDING, true},    {STOP_FLUSHED, true},   {STOP_PUBLISHED, true}, {STOP_DRAINED, true},
};

static u64 served_total, visited_total;

static void check_step(struct test *t, struct space *s, const struct step *at, cpu_t cpu, cpu_t third,
                       const char *policy)
{
    const struct shootdown_policy *before;
    if (!policy_use(t, policy, &before))
        return;
    memset(&target, 0, sizeof(target));
    target.space = s;
    if (!map_page(t, s, PAGE_VA) || (at->in_handler && !map_page(t, s, LONE_VA)))
        return;
    stop_call(at->point, cpu, at_point, (void *)counter_find("tlb_requests_by_nmi"));
    err_t e = worker_start(cpu, at->in_handler ? interrupted_main : load_main, NULL);
    CHECK(t, e == ERR_OK, "CPU %u takes no work", cpu);
    if (at->in_handler)
        CHECK(t, worker_start(third, free_table_main, t) == ERR_OK, "CPU %u takes no work", third);
    bool there = flag_wait(&target.ready, LIMIT_MS);
    CHECK(t, there, "%s, %s: not passed", stop_name(at->point), policy);
    /* If the target's mask bit is not set there, nobody tells it, and it goes on when we are done. */
    e = space_unmap(s, PAGE_VA, PAGE_VA + PAGE_SIZE);
    CHECK(t, e == ERR_OK, "unmap: %s", err_name(e));
    flag_raise(&target.go_on);
    CHECK(t, worker_wait(cpu, LIMIT_MS) == ERR_OK, "CPU %u does not come back", cpu);
    if (at->in_handler)
        CHECK(t, worker_wait(third, LIMIT_MS) == ERR_OK, "CPU %u does not come back", third);
    stop_clear();
    CHECK(t, target.before == 0 && target.after == EXC_PAGE_FAULT,
          "%s, %s: the page was read with %d before, and with %d after it was taken away",
          stop_name(at->point), policy, target.before, target.after);
    /* In the handler the space is loaded, so the NMI does all of the work there. */
    CHECK(t, !at->in_handler || target.served == 1, "%s, %s: no NMI came while the target was there",
          stop_name(at->point), policy);
    visited_total += target.waited_at;
    served_total += target.served;
    policy_restore(t, before);
}

static void nmi_shootdown_at_each_step(struct test *t)
{
    cpu_t cpu = cpumask_next(&cpus_online, 1),
          third = cpu == CPU_NONE ? cpu : cpumask_next(&cpus_online, cpu + 1);
    enum msg_delivery was = msg_delivery_get();
    u64 missed = counter_now(t, "shootdown_nmi_missed");
    struct residents r;
    if (third == CPU_NONE) {
        test_skip(t, "needs 3 CPUs");
        return;
    }
    served_total = visited_total = 0;
    if (residents_enter_alone(t, &r)) {
        if (CHECK(t, stop_begin() == ERR_OK, "the stop points cannot be switched on")) {
            msg_delivery_set(MSG_DELIVERY_NMI);
            for (u32 i = 0; i < ARRAY_SIZE(steps); i++) {
                check_step(t, r.space, &steps[i], cpu, third, "concurrent");
                check_step(t, r.space, &steps[i], cpu, third, "early_ack");
            }
            msg_delivery_set(was);
        }
        CHECK(t, stop_end(), "%s", stop_why());
    }
    residents_leave(t, &r);
    test_note(t, "%llu steps, an NMI at %llu of them; %llu told again by ordinary interrupt",
              (unsigned long long)visited_total, (unsigned long long)served_total,
              (unsigned long long)(counter_now(t, "shootdown_nmi_missed") - missed));
}
TEST(nmi_shootdown_at_each_step,
     "delivery=nmi: a shootdown that meets its target at any step of a handler or of a load of "
     "CR3 leaves nothing stale");
