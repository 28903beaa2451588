/* The workloads of ring 3 on all CPUs: each is a test of what it exercises, too. */
#include "lib/atomic.h"
#include "lib/context.h"
#include "lib/wait.h"
#include "smp/cpus.h"
#include "tests/residents.h"
#include "tests/user_workload.h"

static void user_churn(struct test *t)
{
    u64 checks = 0;
    u32 rounds = test_rounds(60, 8);
    TABLE_FOREACH (policy, struct shootdown_policy, p) {
        const struct shootdown_policy *before;
        if (!POLICY_USABLE(p) || !policy_use(t, p->name, &before))
            continue;
        checks += user_run(t, "churn", 0, rounds, rounds * 16);
        policy_restore(t, before);
    }
    checks += user_run(t, "churn", cpu_count() - 1, rounds, rounds * 16);
    test_note(t, "%llu checks in ring 3", (unsigned long long)checks);
}
TEST(user_churn, "discarded pages read as zeros on every CPU, under any policy");

static void user_pingpong(struct test *t)
{
    u64 checks = user_run(t, "pingpong", 0, 200, 800);
    checks += user_run(t, "pingpong", cpu_count() - 1, 200, 800);
    test_note(t, "%llu checks in ring 3", (unsigned long long)checks);
}
TEST(user_pingpong, "calls, replies and messages between CPUs arrive whole and in order");

static void user_faultstorm(struct test *t)
{
    u64 checks = user_run(t, "faultstorm", 0, 12, 12 * 32);
    test_note(t, "%llu checks in ring 3", (unsigned long long)checks);
}
TEST(user_faultstorm, "racing faults of one page bring in one frame");

#define TURNS_LEAST     100u
#define TURNS_LIMIT_MS  20000u
#define ROUNDS_OF_RANGE 3u

/* Threads that the kernel starts in one process, one on each CPU as far as a process may have so many; each says where it is and how often it has been round. */
static void user_responders(struct test *t)
{
    struct user_run r;
    thread_handle_t h;
    if (!user_open(t, &r, "responder")) {
        user_close(&r);
        return;
    }
    r.w->start = r.w->busy = WORKLOAD_VA; /* the shared pages themselves are there to be touched */
    r.w->pages = 2;
    u32 started = 0;
    for (cpu_t c = 0; c < cpu_count(); c++) {
        if (!cpu_is_online(c) || c == cpu_self() || started == PROCESS_THREADS_MAX)
            continue;
        err_t e = process_start(r.process, c, WORKLOAD_VA + started, &h);
        if (CHECK(t, e == ERR_OK, "CPU %u: %s", c, err_name(e)))
            started++;
    }
    struct wait w = WAIT("responders in ring 3", wait_ms(TURNS_LIMIT_MS));
    bool on = true;
    for (u32 round = 0; on && round < ROUNDS_OF_RANGE; round++) {
        atomic_store_relaxed(&r.w->served, 0);
        /* orders: the count before the round; pairs with: user/lib/workload.c:workload_respond (acquire); else: a thread that has
         * served it would not be counted. */
        atomic_store_release(&r.w->round, r.w->round + 1);
        while (on && atomic_load_relaxed(&r.w->served) < started)
            on = wait_spin(&w);
    }
    for (u32 i = 0; i < started; i++)
        while (on && atomic_load_relaxed(&r.w->thread[i].turns) < TURNS_LEAST)
            on = wait_spin(&w);
    CHECK(t, on, "%llu of %u threads have served the last round", (unsigned long long)r.w->served, started);
    for (u32 i = 0; i < started; i++) {
        cpu_t cpu = (cpu_t)atomic_load_relaxed(&r.w->thread[i].cpu);
        CHECK(t, cpu < cpu_count() && cpu != cpu_self(), "thread %u says that it runs on CPU %u", i, cpu);
        for (u32 j = 0; j < i; j++)
            CHECK(t, r.w->thread[j].cpu != cpu, "threads %u and %u both run on CPU %u", i, j, cpu);
        CHECK(t, cpumask_test_relaxed(&process_space(r.process)->active, cpu),
              "CPU %u does not count as active in the space", cpu);
    }
    atomic_store_relaxed(&r.w->stop, 1);
    if (user_wait(t, &r))
        CHECK(t, r.status == 0 || !started, "it ended with status %lld", (long long)r.status);
    user_close(&r);
    if (!started)
        test_skip(t, "needs 2 CPUs");
}
TEST(user_responders, "threads of one program run where they are started, on all CPUs at once");
