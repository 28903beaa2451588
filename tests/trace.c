/* The trace: a shootdown that happened is found, with what each CPU did for it, in the order in which it happened. */
#include "kernel/trace.h"

#include "kernel/stop_point.h"
#include "lib/atomic.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "mm/kmap.h"
#include "mm/space.h"
#include "smp/cpus.h"
#include "tests/residents.h"
#include "tests/test.h"

/* A kernel page, which every CPU has to forget. Reserved once, as addresses of the kernel are not given back. */
static err_t one_shootdown(void)
{
    static vaddr_t page;
    if (!page)
        page = kmap_reserve(1);
    if (!page)
        return ERR_NOMEM;
    err_t e = space_map_fresh(&kernel_space, page, 1, PT_WRITE | PT_GLOBAL, FRAME_OWNER_TEST);
    return e == ERR_OK ? space_unmap(&kernel_space, page, page + PAGE_SIZE) : e;
}

struct seen {
    u32 steps, flushed, out_of_order;
    u32 tails; /* targets whose part begins with the end of an earlier interrupt */
    bool waited;
};

static struct seen read_back(const struct trace_shootdown *s)
{
    static struct trace_cursor cur;
    static bool begun[MAX_CPUS];
    struct trace_event e;
    struct seen seen = {0};
    u64 last[2] = {0};
    memset(&cur, 0, sizeof(cur));
    memset(begun, 0, sizeof(begun));
    while (trace_next(s, &cur, &e)) {
        bool target = e.cpu != s->initiator;
        seen.steps++;
        seen.out_of_order += e.tsc < last[target];
        last[target] = e.tsc;
        seen.tails += target && !begun[e.cpu] && e.point > STOP_PENDING;
        begun[e.cpu] = true;
        seen.flushed += target && e.point == STOP_FLUSHED;
        seen.waited = seen.waited || (!target && e.point == STOP_WAIT);
    }
    return seen;
}

static void trace_shows_both_sides(struct test *t)
{
    static struct trace_shootdown found[4];
    if (cpu_online_count() < 2) {
        test_skip(t, "needs 2 CPUs");
        return;
    }
    REQUIRE(t, trace_start() == ERR_OK, "the points cannot be switched on");
    err_t e = one_shootdown();
    err_t again = one_shootdown();
    trace_stop();
    REQUIRE(t, e == ERR_OK && again == ERR_OK, "%s, %s", err_name(e), err_name(again));
    u32 count = trace_find(found, ARRAY_SIZE(found));
    REQUIRE(t, count >= 2, "%u shootdowns found", count);
    CHECK(t, trace_find(found, 1) == 1, "the newest alone");
    struct seen seen = read_back(&found[0]);
    CHECK(t, found[0].initiator == cpu_self() && found[0].begin < found[0].end, "by CPU %u",
          found[0].initiator);
    CHECK(t, seen.flushed == cpu_online_count() - 1, "%u of %u other CPUs are seen to flush", seen.flushed,
          cpu_online_count() - 1);
    CHECK(t, seen.waited && !seen.out_of_order, "waited %d, %u events out of order", seen.waited,
          seen.out_of_order);
    test_note(t, "%u steps, %u flushes", seen.steps, seen.flushed);
}
TEST(trace_shows_both_sides, "a recorded shootdown has the initiator's steps and every target's flush");

static void let_target_go(void *arg)
{
    stop_release(STOP_PUBLISHED, *(const cpu_t *)arg);
}

/* A target has published that it has flushed, and gets to the end of its interrupt only when the next shootdown has begun. By a policy
 * whose initiator waits for nothing else. */
static void trace_tells_interrupts_apart(struct test *t)
{
    static struct trace_shootdown found[2];
    cpu_t self = cpu_self(), target = cpumask_next(&cpus_online, 1);
    if (target == CPU_NONE) {
        test_skip(t, "needs 2 CPUs");
        return;
    }
    const struct shootdown_policy *before;
    REQUIRE(t, policy_use(t, "concurrent", &before), "no policy");
    if (!CHECK(t, trace_start() == ERR_OK, "the points cannot be switched on")) {
        policy_restore(t, before);
        return;
    }
    stop_hold(STOP_PUBLISHED, target);
    err_t e = one_shootdown();
    bool held = stop_wait_held(STOP_PUBLISHED, target);
    stop_call(STOP_MASK, self, let_target_go, &target);
    err_t again = one_shootdown();
    trace_stop();
    policy_restore(t, before);
    CHECK(t, held, "CPU %u was not held where it has published", target);
    CHECK(t, e == ERR_OK && again == ERR_OK, "%s, %s", err_name(e), err_name(again));
    REQUIRE(t, trace_find(found, 2) == 2, "not both are found");
    struct seen seen = read_back(&found[1]);
    CHECK(t, seen.flushed == cpu_online_count() - 1, "%u of %u other CPUs are seen to flush", seen.flushed,
          cpu_online_count() - 1);
    CHECK(t, !seen.tails, "%u CPUs begin with the end of an earlier interrupt", seen.tails);
}
TEST(trace_tells_interrupts_apart, "a target that is still on its way out when the next shootdown begins: "
                                   "each interrupt is told where it belongs");
