/* What the thread tests share. */
#pragma once

#include "kernel/thread.h"
#include "lib/atomic.h"
#include "lib/wait.h"
#include "smp/cpus.h"
#include "tests/test.h"

#define THREAD_TEST_MS 5000u /* hang detector for every wait of these tests, before wait_scale */

/* Creates and starts a kernel thread, and holds it: for thread_put. NULL: failed, and said so. */
static inline struct thread *spawn_held(struct test *t, cpu_t cpu, void (*fn)(void *arg), void *arg)
{
    struct thread *thread = NULL;
    err_t e = thread_create(cpu, t->name, fn, arg, &thread);
    if (!CHECK(t, e == ERR_OK, "no thread on CPU %u: %s", cpu, err_name(e)))
        return NULL;
    struct thread *held = thread_get(thread->handle);
    thread_start(thread);
    return held;
}
static inline bool spawn(struct test *t, cpu_t cpu, void (*fn)(void *arg), void *arg)
{
    struct thread *held = spawn_held(t, cpu, fn, arg);
    if (held)
        thread_put(held);
    return held != NULL;
}

/* True once *word has reached `value`; other threads of this CPU run meanwhile. */
static inline bool wait_until_u32(const u32 *word, u32 value)
{
    struct wait w = WAIT("a step of a thread test", wait_ms(THREAD_TEST_MS));
    /* orders: what the test looks at next after the step that it waited for; pairs with: the LOCKed counts of the threads in the
     * same test; else: the test could look too early. */
    while (atomic_load_acquire(word) < value) {
        if (!wait_spin(&w))
            return false;
        thread_yield();
    }
    return true;
}

/* True once no more threads exist than `before`. */
static inline bool wait_until_gone(u32 before)
{
    struct wait w = WAIT("threads of a test to be gone", wait_ms(THREAD_TEST_MS));
    while (thread_count() > before) {
        if (!wait_spin(&w))
            return false;
        thread_yield();
    }
    return true;
}

/* A CPU other than the running one, from `from` on; CPU_NONE: there is none. */
static inline cpu_t other_cpu(cpu_t from)
{
    for (cpu_t c = from; c < cpu_count(); c++)
        if (c != cpu_self() && cpu_is_online(c) && !cpu_is_parked(c))
            return c;
    return CPU_NONE;
}
