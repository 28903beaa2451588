/* What the message tests share: CPUs held with interrupts off, messages held in their function, both until released. */
#pragma once

#include "kernel/worker.h"
#include "lib/context.h"
#include "lib/counter.h"
#include "lib/wait.h"
#include "smp/message.h"
#include "tests/test.h"

/* These tests use CPUs by index, 0 upwards. One that did not come up ends the row. */
static inline u32 cpus_in_a_row(void)
{
    u32 n = 0;
    while (cpu_is_online(n))
        n++;
    return n;
}

#define NEED_CPUS(t, n)                                                                                      \
    do {                                                                                                     \
        if (cpus_in_a_row() < (n)) {                                                                         \
            test_skip((t), "needs " #n " CPUs");                                                             \
            return;                                                                                          \
        }                                                                                                    \
    } while (0)

/* Hang detector for every wait of these tests, before wait_scale. */
#define MESSAGE_TEST_MS 2000u

/* True once *word is value. */
static inline bool wait_for_u32(const u32 *word, u32 value)
{
    struct wait w = WAIT("a step of a message test", wait_ms(MESSAGE_TEST_MS));
    /* orders: what the test looks at next after the step that it waited for; pairs with: whoever stores the word, with
     * release, in the same test; else: the test could look too early. */
    while (atomic_load_acquire(word) != value)
        if (!wait_spin(&w))
            return false;
    return true;
}

static inline void set_u32(u32 *word, u32 value)
{
    /* orders: the writer's earlier stores before the step; pairs with: tests/message_util.h:wait_for_u32 (acquire);
     * else: the waiter could look too early. */
    atomic_store_release(word, value);
}

static inline u64 counted(const char *name)
{
    const struct counter *c = counter_find(name);
    return c ? counter_sum(c) : ~0ull;
}

/* Until release is 1: says so in `reached`, then spins. */
struct gate {
    u32 reached, release;
};
static inline bool gate_pass(struct gate *g)
{
    set_u32(&g->reached, 1);
    return wait_for_u32(&g->release, 1);
}

/* Keeps CPU `cpu` with interrupts off from hold_cpu to release_cpu. */
static inline void hold_irqoff(void *arg)
{
    irq_disable();
    (void)gate_pass(arg);
    irq_enable();
}
static inline bool hold_cpu(cpu_t cpu, struct gate *g)
{
    *g = (struct gate){0};
    return worker_start(cpu, hold_irqoff, g) == ERR_OK && wait_for_u32(&g->reached, 1);
}
static inline bool release_cpu(cpu_t cpu, struct gate *g)
{
    set_u32(&g->release, 1);
    return worker_wait(cpu, MESSAGE_TEST_MS) == ERR_OK;
}

/* All online CPUs but the running one. */
static inline cpumask_t all_others(void)
{
    cpumask_t m;
    cpumask_snapshot(&m, &cpus_online);
    cpumask_unset(&m, cpu_self());
    return m;
}
