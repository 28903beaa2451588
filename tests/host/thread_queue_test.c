/* The run queue and the sleep queue against plain models, on random histories.
 *
 * sources: kernel/thread_sleep.c
 * sanitize: address,undefined */
#include "kernel/thread_queue.h"
#include "kernel/thread_sleep.h"
#include "tests/host/host.h"

#define THREADS 200u
static struct thread thread[THREADS];

static u32 next_random(u32 below)
{
    static u64 state = 7;
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return (u32)(state >> 33) % below;
}

HOST_TEST(run_queue_is_first_in_first_out)
{
    static struct thread_queue q;
    static u32 model[THREADS];
    u32 n = 0;
    memset(thread, 0, sizeof(thread));
    for (u32 step = 0; step < 100000; step++) {
        u32 i = next_random(THREADS);
        switch (next_random(3)) {
        case 0:
            if (!thread[i].queued) {
                thread_queue_push(&q, &thread[i]);
                model[n++] = i;
            }
            break;
        case 1: {
            struct thread *t = thread_queue_pop(&q);
            HOST_CHECK(t == (n ? &thread[model[0]] : NULL), "step %u", step);
            HOST_CHECK(!t || !t->queued, "step %u", step);
            if (n)
                memmove(model, model + 1, --n * sizeof(model[0]));
            break;
        }
        case 2: /* out of the middle */
            for (u32 k = 0; k < n; k++)
                if (model[k] == i) {
                    thread_queue_remove(&q, &thread[i]);
                    memmove(model + k, model + k + 1, (--n - k) * sizeof(model[0]));
                }
            break;
        }
        HOST_CHECK(thread_queue_empty(&q) == !n, "step %u", step);
    }
}

/* The model: all that are asleep, looked through. */
static struct thread *earliest(const bool *asleep)
{
    struct thread *t = NULL;
    for (u32 i = 0; i < THREADS; i++)
        if (asleep[i] && (!t || thread[i].deadline < t->deadline))
            t = &thread[i];
    return t;
}

HOST_TEST(sleepers_wake_in_order)
{
    static struct thread_sleepers s;
    static bool asleep[THREADS];
    memset(thread, 0, sizeof(thread));
    for (u32 step = 0; step < 200000; step++) {
        u32 i = next_random(THREADS);
        u32 what = next_random(step / 1000 % 2 ? 4 : 6); /* the queue grows, and shrinks again */
        if (asleep[i] != thread_is_asleep(&s, &thread[i]))
            HOST_CHECK(false, "step %u: thread %u", step, i);
        if (what == 0 && s.first) {
            struct thread *first = s.first;
            HOST_CHECK(first->deadline == earliest(asleep)->deadline, "step %u: %llu is not the earliest",
                       step, (unsigned long long)first->deadline);
            asleep[first - thread] = false;
            thread_sleepers_remove(&s, first);
        } else if (what == 1 && asleep[i]) {
            asleep[i] = false;
            thread_sleepers_remove(&s, &thread[i]);
        } else if (!asleep[i]) {
            thread[i].deadline = next_random(1000);
            asleep[i] = true;
            thread_sleepers_add(&s, &thread[i]);
        }
    }
    u64 last = 0;
    u32 left = 0, woken = 0;
    for (u32 i = 0; i < THREADS; i++)
        left += asleep[i];
    for (; s.first; woken++) {
        HOST_CHECK(s.first->deadline >= last, "%llu after %llu", (unsigned long long)s.first->deadline,
                   (unsigned long long)last);
        last = s.first->deadline;
        thread_sleepers_remove(&s, s.first);
    }
    HOST_CHECK(woken == left && left > 0, "%u woke, %u were asleep", woken, left);
}
