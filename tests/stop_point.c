/* The stop points themselves: they hold, count, order and let go. */
#include "kernel/stop_point.h"
#include "kernel/worker.h"
#include "lib/atomic.h"
#include "lib/context.h"
#include "lib/patch.h"
#include "lib/wait.h"
#include "lib/x86/cpu.h"
#include "mm/frame.h"
#include "tests/residents.h"
#include "tests/window.h"

static u32 finished;

static void unmap_one(void *arg)
{
    struct space *s = arg;
    err_t e = space_unmap(s, RESIDENTS_FREE_VA, RESIDENTS_FREE_VA + PAGE_SIZE);
    atomic_store_relaxed(&finished, e == ERR_OK ? 1 : 2);
}

/* A page for the worker to take away; this CPU, the target, has the space loaded. */
static bool map_one(struct test *t, struct space *s)
{
    err_t e = space_map_fresh(s, RESIDENTS_FREE_VA, 1, PT_WRITE, FRAME_OWNER_TEST);
    return CHECK(t, e == ERR_OK, "map: %s", err_name(e));
}

static bool start_change(struct test *t, struct space *s, cpu_t cpu)
{
    atomic_store_relaxed(&finished, 0);
    return CHECK(t, worker_start(cpu, unmap_one, s) == ERR_OK, "CPU %u takes no work", cpu);
}

static void hold_each(struct test *t, struct space *s, cpu_t cpu)
{
    static const enum stop_point initiator[] = {STOP_CHANGED, STOP_GENERATION, STOP_MASK,   STOP_UNLOCKED,
                                                STOP_POSTED,  STOP_WAIT,       STOP_RELEASE};
    for (u32 i = 0; i < ARRAY_SIZE(initiator); i++) {
        enum stop_point p = initiator[i];
        u64 passes = stop_passes(p, cpu);
        stop_hold(p, cpu);
        if (!map_one(t, s) || !start_change(t, s, cpu))
            return;
        CHECK(t, stop_wait_held(p, cpu), "CPU %u did not come to %s", cpu, stop_name(p));
        CHECK(t, stop_passes(p, cpu) == passes, "%s was counted while held", stop_name(p));
        for (u32 turns = 0; turns < 1000; turns++)
            cpu_pause();
        CHECK(t, !atomic_load_relaxed(&finished), "CPU %u went past %s", cpu, stop_name(p));
        stop_release(p, cpu);
        CHECK(t, worker_wait(cpu, 5000) == ERR_OK, "CPU %u does not end", cpu);
        CHECK(t, atomic_load_relaxed(&finished) == 1, "the change failed after %s", stop_name(p));
        CHECK(t, stop_passes(p, cpu) == passes + 1, "%s was passed %llu times, not once", stop_name(p),
              (unsigned long long)(stop_passes(p, cpu) - passes));
    }
}

/* Without the order the initiator is past its point long before it looks at the flag that the other one sets. */
static void in_order(struct test *t, struct space *s, cpu_t cpu)
{
    if (!map_one(t, s))
        return;
    stop_order(STOP_ENTERED, cpu_self(), STOP_WAIT, cpu);
    bool was_on = irq_save(); /* this CPU, the target, does not enter its handler before it wants to */
    bool started = start_change(t, s, cpu);
    struct wait w = WAIT("the initiator to post", wait_ms(1000));
    while (started && !stop_passes(STOP_LOCAL, cpu) && wait_spin(&w))
        ;
    for (u32 turns = 0; turns < 1000; turns++)
        cpu_pause();
    u64 waits = stop_passes(STOP_WAIT, cpu);
    irq_restore(was_on);
    if (started)
        CHECK(t, worker_wait(cpu, 5000) == ERR_OK, "CPU %u does not end", cpu);
    CHECK(t, waits == stop_passes(STOP_WAIT, cpu) - 1, "the initiator did not wait for the target's entry");
}

static void stop_points_hold(struct test *t)
{
    cpu_t cpu = cpumask_next(&cpus_online, 1);
    struct residents r;
    if (cpu == CPU_NONE) {
        test_skip(t, "needs 2 CPUs");
        return;
    }
    bool ready = residents_enter_alone(t, &r);
    if (ready && CHECK(t, stop_begin() == ERR_OK, "the points cannot be switched on")) {
        hold_each(t, r.space, cpu);
        CHECK(t, stop_end(), "%s", stop_why());
        REQUIRE(t, stop_begin() == ERR_OK, "the points cannot be switched on again");
        in_order(t, r.space, cpu);
        CHECK(t, stop_end(), "%s", stop_why());
    }
    CHECK(t, !patch_on[PATCH_STOP], "the points stay on");
    residents_leave(t, &r);
}
TEST(stop_points_hold,
     "a CPU can be held at each step of a shootdown, and two CPUs' steps can be put in order");
