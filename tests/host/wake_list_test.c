/* The wake list under real threads: what several push, one takes, each exactly once, with what was stored before the push.
 *
 * sources:
 * sanitize: thread */
#include <pthread.h>
#include <sched.h>

#include "kernel/wake_list.h"
#include "tests/host/host.h"

#define PUSHERS 4u
#define SLEEPY  8u /* threads that each pusher wakes in turn */
#define WAKES   20000u

static struct thread *list;
static struct thread thread[PUSHERS][SLEEPY];
static u64 posted[PUSHERS][SLEEPY]; /* plain: ordered by the wake alone */
static u32 rings, pushed, merged;

/* As thread_wake: the bit says that the thread is on its way already. */
static void *push(void *arg)
{
    u32 me = (u32)(uintptr_t)arg;
    for (u32 i = 0; i < WAKES; i++) {
        struct thread *t = &thread[me][i % SLEEPY];
        while (atomic_load_acquire(&t->refs) & THREAD_WAKING) /* its word is being read */
            sched_yield();
        posted[me][i % SLEEPY]++;
        if (atomic_fetch_or(&t->refs, THREAD_WAKING) & THREAD_WAKING) {
            atomic_fetch_add(&merged, 1);
        } else {
            atomic_fetch_add(&pushed, 1);
            if (wake_list_push(&list, t))
                atomic_fetch_add(&rings, 1);
        }
    }
    return NULL;
}

HOST_TEST(each_wake_arrives_once)
{
    pthread_t pusher[PUSHERS];
    u64 taken = 0, seen[PUSHERS][SLEEPY] = {0};
    for (u32 p = 0; p < PUSHERS; p++)
        HOST_CHECK(pthread_create(&pusher[p], NULL, push, (void *)(uintptr_t)p) == 0, "no thread %u", p);
    while (taken < PUSHERS * WAKES) {
        struct thread *t = wake_list_take(&list), *next;
        if (!t)
            sched_yield();
        for (; t; t = next) {
            next = atomic_load_relaxed(&t->wake_next);
            u32 i = (u32)(t - &thread[0][0]);
            u64 word = posted[i / SLEEPY][i % SLEEPY];
            HOST_CHECK(word == seen[i / SLEEPY][i % SLEEPY] + 1, "thread %u: %llu after %llu", i,
                       (unsigned long long)word, (unsigned long long)seen[i / SLEEPY][i % SLEEPY]);
            seen[i / SLEEPY][i % SLEEPY] = word;
            atomic_fetch_and(&t->refs, ~THREAD_WAKING);
            taken++;
        }
    }
    for (u32 p = 0; p < PUSHERS; p++)
        pthread_join(pusher[p], NULL);
    HOST_CHECK(!list && pushed == taken && merged == 0, "%u pushed, %llu taken", pushed,
               (unsigned long long)taken);
    HOST_CHECK(rings > 0 && rings <= pushed, "%u rings for %u pushes", rings, pushed);
}

HOST_TEST(taken_in_the_order_of_pushes)
{
    memset(thread, 0, sizeof(thread));
    for (u32 i = 0; i < SLEEPY; i++)
        HOST_CHECK(wake_list_push(&list, &thread[0][i]) == (i == 0), "only the first rings");
    struct thread *t = wake_list_take(&list);
    for (u32 i = 0; i < SLEEPY; i++, t = t->wake_next)
        HOST_CHECK(t == &thread[0][i], "thread %u", i);
    HOST_CHECK(!t && !wake_list_take(&list), "there are no more");
}
