/* The trace: a shootdown that happened is found, with what each CPU did for it, in the order in which it happened. */
#include "kernel/trace.h"

#include "lib/atomic.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "mm/kmap.h"
#include "mm/space.h"
#include "smp/cpus.h"
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
    bool waited;
};

static struct seen read_back(const struct trace_shootdown *s)
{
    static struct trace_cursor cur;
    struct trace_event e;
    struct seen seen = {0};
    u64 last[2] = {0};
    memset(&cur, 0, sizeof(cur));
    while (trace_next(s, &cur, &e)) {
        bool target = e.cpu != s->initiator;
        seen.steps++;
        seen.out_of_order += e.tsc < last[target];
        last[target] = e.tsc;
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
