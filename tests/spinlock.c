/* The ticket lock between real CPUs. tests/host/lib_test.c has it under ThreadSanitizer. */
#include "lib/spinlock.h"
#include "kernel/worker.h"
#include "lib/context.h"
#include "lib/wait.h"
#include "smp/cpus.h"
#include "tests/test.h"

#define LOCK_MS 20000u
/* Turns over all CPUs: under a single-threaded emulator each hand-over costs a round of all virtual CPUs. */
#define TURNS 2000u

static struct {
    spinlock_t lock;
    u32 turns, started;
    u64 plain[2]; /* changed together under the lock only; not atomic */
    u64 torn;     /* times that the two differed under the lock */
    u64 out_of_order;
} shared;

static void count_under_lock(void *arg)
{
    (void)arg;
    atomic_fetch_add(&shared.started, 1);
    for (u32 i = 0; i < shared.turns; i++) {
        preempt_disable();
        spin_lock(&shared.lock);
        shared.torn += shared.plain[0] != shared.plain[1];
        shared.out_of_order += shared.lock.owner != (u32)shared.plain[0]; /* tickets count the turns from 0 */
        shared.plain[0]++;
        compiler_barrier();
        shared.plain[1]++;
        spin_unlock(&shared.lock);
        preempt_enable();
    }
}

static void spinlock_excludes(struct test *t)
{
    u32 cpus = cpu_online_count();
    shared = (__typeof__(shared)){.turns = MAX(TURNS / cpus, 4u)};
    CPUMASK_FOREACH (c, &cpus_online)
        if (c != cpu_self()) {
            err_t e = worker_start(c, count_under_lock, NULL);
            CHECK(t, e == ERR_OK, "CPU %u: %s", c, err_name(e));
        }
    count_under_lock(NULL);
    CPUMASK_FOREACH (c, &cpus_online)
        if (c != cpu_self())
            CHECK(t, worker_wait(c, LOCK_MS) == ERR_OK, "CPU %u does not finish", c);
    u64 expected = (u64)shared.turns * cpus;
    CHECK(t, shared.plain[0] == expected && shared.plain[1] == expected, "%llu and %llu turns, expected %llu",
          (unsigned long long)shared.plain[0], (unsigned long long)shared.plain[1],
          (unsigned long long)expected);
    CHECK(t, !shared.torn, "in %llu turns another CPU was inside too", (unsigned long long)shared.torn);
    CHECK(t, !shared.out_of_order, "%llu turns were out of ticket order",
          (unsigned long long)shared.out_of_order);
    CHECK(t, shared.lock.next == shared.lock.owner, "the lock is still held: tickets %u, served %u",
          shared.lock.next, shared.lock.owner);
}
TEST(spinlock_excludes, "only one CPU is inside a lock, and they enter in the order they came");

static void spinlock_irqsave(struct test *t)
{
    spinlock_t l = SPINLOCK_INIT;
    bool was_on = spin_lock_irqsave(&l);
    bool on_inside = irq_enabled(), taken_twice = spin_trylock(&l);
    spin_unlock_irqrestore(&l, was_on);
    CHECK(t, was_on && !on_inside, "interrupts inside the lock: %s", on_inside ? "on" : "off");
    CHECK(t, irq_enabled(), "interrupts are off after the unlock");
    CHECK(t, !taken_twice, "a held lock was taken by spin_trylock");
    CHECK(t, spin_trylock(&l), "a free lock was refused by spin_trylock");
    spin_unlock(&l);
}
TEST(spinlock_irqsave, "the irqsave form turns interrupts off, and restores them");
