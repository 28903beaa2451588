/* Parking a CPU on which threads of ring 3 are: pinned ones keep it in use, others go on elsewhere, and none is lost. */
#include "lib/context.h"
#include "smp/cpus.h"
#include "tests/thread_util.h"
#include "tests/user_workload.h"

#define TURNS_LEAST 20u /* of its loop: it goes on */

/* A thread of `responder` on that CPU, or on any; its number counts up. */
static struct thread *start_one(struct test *t, struct user_run *r, cpu_t cpu, u32 number)
{
    thread_handle_t h;
    err_t e = process_start(r->process, cpu, WORKLOAD_VA + number, &h);
    if (!CHECK(t, e == ERR_OK, "no thread on CPU %u: %s", cpu, err_name(e)))
        return NULL;
    return thread_get(h);
}

static bool goes_on(struct test *t, struct user_run *r, u32 number)
{
    struct wait w = WAIT("a thread of ring 3 to go on", wait_ms(THREAD_TEST_MS));
    u64 until = atomic_load_relaxed(&r->w->thread[number].turns) + TURNS_LEAST;
    while (atomic_load_relaxed(&r->w->thread[number].turns) < until) {
        if (!wait_spin(&w))
            return CHECK(t, false, "thread %u does not go on", number);
        thread_yield();
    }
    return true;
}

static bool starts(struct test *t, struct user_run *r)
{
    if (!user_open(t, r, "responder"))
        return false;
    r->w->busy = WORKLOAD_VA;
    return true;
}

static void ends(struct test *t, struct user_run *r)
{
    if (r->w)
        atomic_store_relaxed(&r->w->stop, 1);
    if (r->process && process_threads(r->process))
        (void)user_wait(t, r);
    user_close(r);
}

/* A pinned thread that runs, and one that sleeps in the kernel, refuse the parking, and notice nothing. */
static void park_refused(struct test *t, struct user_run *r, cpu_t cpu)
{
    thread_handle_t h;
    struct thread *pinned = start_one(t, r, cpu, 0);
    if (!pinned)
        return;
    if (goes_on(t, r, 0)) {
        err_t e = cpu_park(cpu);
        CHECK(t, e == ERR_INVAL, "a CPU with a pinned thread of ring 3 was parked: %s", err_name(e));
        CHECK(t, !cpu_is_parked(cpu), "it counts as parked");
        CHECK(t, atomic_load_relaxed(&pinned->cpu) == cpu && atomic_load_relaxed(&pinned->pinned),
              "the thread is on CPU %u now", pinned->cpu);
        goes_on(t, r, 0);
        CHECK(t, atomic_load_relaxed(&pinned->cpu) == cpu, "the thread is on CPU %u now", pinned->cpu);
    }
    /* When it is not pinned any more, as SYS_THREAD_MOVE with SYS_ANY_CPU leaves it, it goes, and nothing of its space is left there. */
    atomic_store_relaxed(&pinned->pinned, false);
    err_t e = cpu_park(cpu);
    if (CHECK(t, e == ERR_OK, "with nobody pinned it was not parked: %s", err_name(e))) {
        const struct space *s = process_space(r->process);
        goes_on(t, r, 0);
        CHECK(t, atomic_load_relaxed(&pinned->cpu) != cpu, "a thread runs on a parked CPU");
        CHECK(t, !cpumask_test_relaxed(&s->active, cpu) && !cpumask_test_relaxed(&s->loaded, cpu),
              "the parked CPU has the space's root");
        e = process_start(r->process, cpu, WORKLOAD_VA + 1, &h);
        CHECK(t, e == ERR_ABSENT, "a thread was pinned to a parked CPU: %s", err_name(e));
        e = thread_move(pinned, cpu);
        CHECK(t, e == ERR_ABSENT, "a thread was moved to a parked CPU: %s", err_name(e));
        goes_on(t, r, 0);
        CHECK(t, cpu_unpark(cpu) == ERR_OK, "it cannot be unparked");
    }
    e = thread_move(pinned, cpu);
    CHECK(t, e == ERR_OK, "back to CPU %u: %s", cpu, err_name(e));
    struct wait w = WAIT("a thread to come back to an unparked CPU", wait_ms(THREAD_TEST_MS));
    while (atomic_load_relaxed(&pinned->cpu) != cpu && wait_spin(&w))
        thread_yield();
    CHECK(t, atomic_load_relaxed(&pinned->cpu) == cpu, "the thread stays on CPU %u", pinned->cpu);
    goes_on(t, r, 0);
    thread_put(pinned);
}

static void park_with_ring3(struct test *t)
{
    struct user_run r;
    cpu_t cpu = other_cpu(1);
    if (cpu == CPU_NONE) {
        test_skip(t, "needs 2 CPUs");
        return;
    }
    if (starts(t, &r))
        park_refused(t, &r, cpu);
    ends(t, &r);
}
TEST(park_with_ring3,
     "a pinned thread of ring 3 keeps its CPU in use; one that is not pinned goes on elsewhere");

#define CROWD 3u

/* Several at a time, in their slices; the process is killed while they are on their way. */
static void park_under_a_crowd(struct test *t)
{
    struct user_run r;
    cpu_t cpu = other_cpu(1);
    u32 n = 0;
    if (cpu == CPU_NONE) {
        test_skip(t, "needs 2 CPUs");
        return;
    }
    if (starts(t, &r)) {
        struct thread *crowd[CROWD];
        while (n < CROWD && (crowd[n] = start_one(t, &r, cpu, n)) != NULL)
            atomic_store_relaxed(&crowd[n++]->pinned, false);
        for (u32 i = 0; i < n; i++)
            goes_on(t, &r, i);
        err_t e = cpu_park(cpu);
        CHECK(t, e == ERR_OK, "it was not parked: %s", err_name(e));
        for (u32 i = 0; i < n; i++) {
            goes_on(t, &r, i);
            CHECK(t, atomic_load_relaxed(&crowd[i]->cpu) != cpu, "thread %u is on the parked CPU", i);
            thread_put(crowd[i]);
        }
        process_kill(r.process);
        CHECK(t, cpu_unpark(cpu) == ERR_OK, "it cannot be unparked");
        if (user_wait(t, &r))
            CHECK(t, r.status == STATUS_KILLED, "it ended with %lld", (long long)r.status);
    }
    ends(t, &r);
}
TEST(park_under_a_crowd,
     "all threads of ring 3 that share a CPU leave it when it is parked, and are found and killed elsewhere");
