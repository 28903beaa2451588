/* What a thread leaves behind as it ends: nothing that it has put off until its return to ring 3; and its status under its handle, which
 * another thread may have one day. */
#include "kernel/thread.h"
#include "lib/atomic.h"
#include "lib/wait.h"
#include "smp/cpus.h"
#include "tests/residents.h"
#include "tests/user_workload.h"

#define LIMIT_MS 10000u /* hang detector */

/* Its descriptor has been given back: by a thread that may be of this CPU. */
static bool is_gone(thread_handle_t h)
{
    u64 start = rdtsc(), limit = wait_ms(LIMIT_MS);
    while (atomic_load_relaxed(&thread_at(h & 0xffff)->handle) == h) {
        if (rdtsc() - start > limit)
            return false;
        thread_sleep_us(100);
    }
    return true;
}

/* The first thread, on CPU 1, takes its stack away as it ends, while another runs on CPU 0 with the same tables. Nobody comes to CPU 1 after
 * it. */
static void leave(struct test *t, struct user_run *r)
{
    thread_handle_t h;
    r->w->op = WORKLOAD_MAIL_LEAVES;
    u64 ended = counter_now(t, "shootdown_batches");
    err_t e = process_start(r->process, 1, WORKLOAD_VA, &h);
    if (!CHECK(t, e == ERR_OK, "start: %s", err_name(e)))
        return;
    CHECK(t, is_gone(h), "the first thread does not end");
    CHECK(t, counter_now(t, "shootdown_batches") > ended, "its stack was not taken away in a batch");
    u32 work = atomic_load_relaxed(&per_cpu(percpu_head, 1).user_work);
    CHECK(t, !(work & SHOOTDOWN_USER_WORK), "CPU 1 still has to flush for a thread that is gone");
    atomic_store_relaxed(&r->w->stop, 1);
    if (user_wait(t, r))
        CHECK(t, r->status == 0, "it ended with %lld", (long long)r->status);
}

static void user_leaves_no_batch(struct test *t)
{
    struct user_run r;
    const struct shootdown_policy *before;
    if (cpu_online_count() < 2) {
        test_skip(t, "needs 2 CPUs");
        return;
    }
    if (!policy_use(t, "batched", &before))
        return;
    if (user_open(t, &r, "mail"))
        leave(t, &r);
    user_close(&r);
    policy_restore(t, before);
}
TEST(user_leaves_no_batch,
     "batched: what a thread takes away as it ends is flushed, and not left to whoever runs there next");

/* Two threads one after the other with one descriptor, and as if 65,535 others had had it in between: the second gets the handle of the first,
 * whose status nobody has asked for. */
static void leave_twice(struct test *t, struct user_run *r)
{
    thread_handle_t h[2];
    r->w->op = WORKLOAD_MAIL_LEAVES;
    for (u32 i = 0; i < 2; i++) {
        err_t e = process_start(r->process, 1, WORKLOAD_VA, &h[i]);
        if (!CHECK(t, e == ERR_OK, "start: %s", err_name(e)) || !CHECK(t, is_gone(h[i]), "it does not end"))
            return;
        if (i == 0)
            atomic_store_relaxed(&thread_at(h[0] & 0xffff)->handle, h[0]);
    }
    CHECK(t, h[0] == h[1], "the second thread has another handle: %x, not %x", h[1], h[0]);
    atomic_store_relaxed(&r->w->stop, 1);
    if (user_wait(t, r))
        CHECK(t, r->status == 0, "it ended with %lld", (long long)r->status);
}

static void user_handle_comes_again(struct test *t)
{
    struct user_run r;
    if (cpu_online_count() < 2) {
        test_skip(t, "needs 2 CPUs");
        return;
    }
    if (user_open(t, &r, "mail"))
        leave_twice(t, &r);
    user_close(&r);
}
TEST(user_handle_comes_again,
     "a thread with the handle of one that ended long ago, unjoined, takes its place");
