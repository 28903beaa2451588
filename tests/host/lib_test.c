/* The small pieces of lib that are headers: CPU sets, the ticket lock under contention, alignment and container macros, tables.
 *
 * sources:
 * sanitize: thread
 */
#include "tests/host/host.h"

#include <pthread.h>

#include "lib/cpumask.h"
#include "lib/spinlock.h"
#include "lib/table.h"

/* cpumask_words is 1 in the harness: a machine of up to 64 CPUs. These tests want all 512. */
u32 cpumask_words = CPUMASK_WORDS;

HOST_TEST(mask_edges_of_every_word)
{
    cpumask_t m;
    cpumask_clear(&m);
    HOST_CHECK(cpumask_empty(&m), "a cleared mask has %u bits", cpumask_count(&m));
    static const cpu_t edges[] = {0, 1, 62, 63, 64, 127, 128, 255, 256, 447, 448, 510, 511};
    for (u32 i = 0; i < ARRAY_SIZE(edges); i++) {
        cpumask_set(&m, edges[i]);
        HOST_CHECK(cpumask_test(&m, edges[i]), "bit %u is not set", edges[i]);
        HOST_CHECK(cpumask_count(&m) == i + 1, "%u bits after setting %u", cpumask_count(&m), i + 1);
    }
    u32 seen = 0;
    CPUMASK_FOREACH (c, &m) {
        HOST_CHECK(seen < ARRAY_SIZE(edges) && c == edges[seen], "the walk came to %u at step %u", c, seen);
        seen++;
    }
    HOST_CHECK(seen == ARRAY_SIZE(edges), "the walk saw %u of %zu bits", seen, ARRAY_SIZE(edges));
    HOST_CHECK(cpumask_next(&m, 512) == CPU_NONE, "a walk past the last CPU found %u", cpumask_next(&m, 512));
    for (u32 i = 0; i < ARRAY_SIZE(edges); i++)
        cpumask_unset(&m, edges[i]);
    HOST_CHECK(cpumask_empty(&m), "%u bits are left after unsetting all", cpumask_count(&m));
}

HOST_TEST(mask_equality_looks_at_every_word)
{
    cpumask_t a, b;
    for (u32 c = 0; c < MAX_CPUS; c += 37) {
        cpumask_clear(&a);
        cpumask_clear(&b);
        cpumask_set(&a, c);
        HOST_CHECK(!cpumask_equal(&a, &b), "a mask with CPU %u equals the empty one", c);
        cpumask_set(&b, c);
        HOST_CHECK(cpumask_equal(&a, &b), "two masks with CPU %u differ", c);
    }
}

HOST_TEST(mask_snapshot_ends_at_the_machine)
{
    cpumask_t shared, copy;
    for (u32 i = 0; i < CPUMASK_WORDS; i++)
        shared.w[i] = ~0ull;
    cpumask_clear(&copy);
    cpumask_words = 2;
    cpumask_snapshot(&copy, &shared);
    HOST_CHECK(cpumask_count(&copy) == 128, "%u CPUs in the copy, expected 128", cpumask_count(&copy));
    cpumask_words = CPUMASK_WORDS;
    HOST_CHECK(cpumask_count(&copy) == 128, "the copy has %u CPUs past the machine's",
               cpumask_count(&copy) - 128);
}

/* A fair lock among more threads than host cores hands itself to a thread that is not running at nearly every turn: two
 * threads, and few turns. */
#define THREADS 2u
#define TURNS   2000u

static struct {
    spinlock_t lock;
    u64 plain; /* not atomic on purpose: only the lock keeps it right, and ThreadSanitizer watches it */
    cpumask_t shared;
    u32 tried, won;
} contended;

static void *lock_and_count(void *arg)
{
    cpu_t me = (cpu_t)(uintptr_t)arg;
    host_cpu_index = me;
    for (u32 i = 0; i < TURNS; i++) {
        spin_lock(&contended.lock);
        contended.plain++;
        spin_unlock(&contended.lock);
    }
    return NULL;
}

static void *try_and_count(void *arg)
{
    host_cpu_index = (cpu_t)(uintptr_t)arg;
    for (u32 i = 0; i < TURNS; i++) {
        atomic_fetch_add(&contended.tried, 1);
        if (!spin_trylock(&contended.lock))
            continue;
        contended.won++; /* under the lock */
        spin_unlock(&contended.lock);
    }
    return NULL;
}

static void *toggle_my_bit(void *arg)
{
    cpu_t me = (cpu_t)(uintptr_t)arg;
    for (u32 i = 0; i < TURNS; i++) {
        cpumask_set_atomic(&contended.shared, me);
        cpumask_unset_atomic(&contended.shared, me);
    }
    cpumask_set_atomic(&contended.shared, me);
    return NULL;
}

static void run_threads(void *(*fn)(void *))
{
    pthread_t t[THREADS];
    for (u32 i = 0; i < THREADS; i++)
        if (pthread_create(&t[i], NULL, fn, (void *)(uintptr_t)i))
            abort();
    for (u32 i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
}

HOST_TEST(lock_excludes)
{
    contended.plain = 0;
    run_threads(lock_and_count);
    HOST_CHECK(contended.plain == THREADS * TURNS, "%llu increments under the lock, expected %u",
               (unsigned long long)contended.plain, THREADS * TURNS);
    HOST_CHECK(contended.lock.next == contended.lock.owner, "tickets %u, served %u", contended.lock.next,
               contended.lock.owner);
}

HOST_TEST(trylock_excludes_and_gives_up)
{
    contended.won = contended.tried = 0;
    run_threads(try_and_count);
    HOST_CHECK(contended.tried == THREADS * TURNS, "%u tries", contended.tried);
    HOST_CHECK(contended.won > 0 && contended.won <= contended.tried, "%u won of %u", contended.won,
               contended.tried);
    HOST_CHECK(contended.lock.next == contended.lock.owner, "tickets %u, served %u", contended.lock.next,
               contended.lock.owner);
    spin_lock(&contended.lock);
    HOST_CHECK(!spin_trylock(&contended.lock), "a held lock was taken%s", "");
    spin_unlock(&contended.lock);
}

HOST_TEST(lock_survives_ticket_wrap)
{
    spinlock_t l = {~0u, ~0u};
    spin_lock(&l);
    HOST_CHECK(!spin_trylock(&l), "a held lock was taken as the tickets wrap%s", "");
    spin_unlock(&l);
    HOST_CHECK(l.next == 0 && l.owner == 0, "tickets %u, served %u after the wrap", l.next, l.owner);
    HOST_CHECK(spin_trylock(&l), "a free lock was refused after the wrap%s", "");
    spin_unlock(&l);
}

HOST_TEST(lock_irqsave_restores)
{
    spinlock_t l = SPINLOCK_INIT;
    irq_enable();
    bool was_on = spin_lock_irqsave(&l);
    HOST_CHECK(was_on && !irq_enabled(), "interrupts were %s, are %s under the lock", was_on ? "on" : "off",
               irq_enabled() ? "on" : "off");
    spinlock_t inner = SPINLOCK_INIT;
    bool inner_was_on = spin_lock_irqsave(&inner);
    spin_unlock_irqrestore(&inner, inner_was_on);
    HOST_CHECK(!irq_enabled(), "the inner unlock turned interrupts on%s", "");
    spin_unlock_irqrestore(&l, was_on);
    HOST_CHECK(irq_enabled(), "the outer unlock left interrupts off%s", "");
}

HOST_TEST(mask_bits_are_set_atomically)
{
    cpumask_clear(&contended.shared);
    run_threads(toggle_my_bit);
    HOST_CHECK(cpumask_count(&contended.shared) == THREADS,
               "%u bits are left, expected one for each of %u threads", cpumask_count(&contended.shared),
               THREADS);
}

HOST_TEST(alignment_macros)
{
    HOST_CHECK(ALIGN_UP(0x1001ull, PAGE_SIZE) == 0x2000, "%llx", ALIGN_UP(0x1001ull, PAGE_SIZE));
    HOST_CHECK(ALIGN_UP(0x1000ull, PAGE_SIZE) == 0x1000, "%llx", ALIGN_UP(0x1000ull, PAGE_SIZE));
    HOST_CHECK(ALIGN_DOWN(0xffffffffffffffffull, PAGE_SIZE) == 0xfffffffffffff000ull, "%llx",
               ALIGN_DOWN(0xffffffffffffffffull, PAGE_SIZE));
    u32 small = 0xffffffffu; /* the mask must have the operand's width, not that of PAGE_SIZE or int */
    HOST_CHECK(ALIGN_DOWN(small, 64) == 0xffffffc0u, "%x", ALIGN_DOWN(small, 64));
    HOST_CHECK(IS_ALIGNED(0x200000ull, 0x200000) && !IS_ALIGNED(0x201000ull, 0x200000), "%s", "2 MiB");
    struct outer {
        u64 a;
        u32 inner;
    } o;
    HOST_CHECK(container_of(&o.inner, struct outer, inner) == &o, "container_of is off by %td",
               (char *)container_of(&o.inner, struct outer, inner) - (char *)&o);
}

struct sample {
    int n;
};
TABLE_DECLARE(sample, struct sample);
TABLE_ENTRY(sample, struct sample, first) = {.n = 1};
TABLE_ENTRY(sample, struct sample, second) = {.n = 10};
TABLE_ENTRY(sample, struct sample, third) = {.n = 100};

HOST_TEST(table_lists_every_entry_once)
{
    int sum = 0, count = 0;
    TABLE_FOREACH (sample, struct sample, it) {
        sum += it->n;
        count++;
    }
    HOST_CHECK(sum == 111 && count == 3, "the walk saw %d entries with sum %d", count, sum);
    HOST_CHECK(TABLE_SIZE(sample) == 3, "the table says it has %zu entries", TABLE_SIZE(sample));
}
