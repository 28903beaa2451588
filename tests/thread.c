/* Kernel threads: they run where they should, once; wakes are not lost; sleeps end in time; handles of the dead are refused. */
#include "lib/context.h"
#include "tests/thread_util.h"

#define ROUNDS test_rounds(1000, 50)

static u32 ended;

static void note_end(void)
{
    atomic_fetch_add(&ended, 1);
}

/* ---- life ---- */

static struct {
    cpu_t ran_on;
    u32 runs;
    bool irq_on, on_own_stack;
} seen[MAX_CPUS];

static void note_where(void *arg)
{
    u64 here = 0;
    cpu_t i = (cpu_t)(uintptr_t)arg;
    seen[i].ran_on = cpu_self();
    seen[i].irq_on = irq_enabled();
    u64 top = thread_self()->stack_top;
    seen[i].on_own_stack = (u64)&here < top && (u64)&here > top - 16 * KIB;
    atomic_fetch_add(&seen[i].runs, 1);
}

static void thread_everywhere(struct test *t)
{
    u32 before = thread_count();
    for (cpu_t c = 0; c < cpu_count(); c++) {
        if (!cpu_is_online(c))
            continue;
        u32 runs = seen[c].runs;
        if (!spawn(t, c, note_where, (void *)(uintptr_t)c))
            return;
        REQUIRE(t, wait_until_u32(&seen[c].runs, runs + 1), "the thread on CPU %u has not run", c);
        CHECK(t, seen[c].ran_on == c && seen[c].irq_on && seen[c].on_own_stack,
              "CPU %u: ran on CPU %u, interrupts %s, %s own stack", c, seen[c].ran_on,
              seen[c].irq_on ? "on" : "off", seen[c].on_own_stack ? "its" : "not its");
    }
    REQUIRE(t, wait_until_gone(before), "%u threads are left, there were %u", thread_count(), before);
    CHECK(t, thread_create(cpu_count(), "nowhere", note_where, NULL, &(struct thread *){NULL}) == ERR_ABSENT,
          "there is no CPU %u", cpu_count());
}
TEST(thread_everywhere,
     "a thread runs on the CPU that it was made for, on its own stack, and is gone afterwards");

static void wait_for_wake(void *arg)
{
    u32 *go = arg;
    while (!atomic_load_relaxed(go))
        thread_block();
    note_end();
}

static void thread_handles(struct test *t)
{
    static thread_handle_t old[64];
    u32 before = thread_count(), go = 0;
    atomic_store_relaxed(&ended, 0);
    for (u32 i = 0; i < ARRAY_SIZE(old); i++) {
        atomic_store_relaxed(&go, 0);
        cpu_t other = other_cpu(0);
        struct thread *held = spawn_held(t, i % 2 && other != CPU_NONE ? other : 0, wait_for_wake, &go);
        if (!held)
            return;
        thread_handle_t h = held->handle;
        struct thread *found = thread_get(h);
        if (CHECK(t, h && found == held, "handle %x of a live thread is refused", h))
            thread_put(found);
        for (u32 k = 0; k < i; k++)
            CHECK(t, old[k] != h, "handle %x is given again after %u threads", h, i - k);
        atomic_store_relaxed(&go, 1);
        thread_wake(held);
        REQUIRE(t, wait_until_u32(&ended, i + 1), "thread %u does not end", i);
        CHECK(t, thread_count() > before, "a held descriptor was given back");
        thread_put(held);
        REQUIRE(t, wait_until_gone(before), "thread %u is not gone", i);
        CHECK(t, thread_get(h) == NULL, "handle %x of a dead thread is taken", h);
        old[i] = h;
    }
    CHECK(t, thread_get(0) == NULL && thread_get(~0u) == NULL && thread_get(1u << 16 | THREAD_MAX) == NULL,
          "a handle of nothing is taken");
}
TEST(thread_handles,
     "a handle finds its thread while it lives, keeps its descriptor, and is refused afterwards");

/* ---- wakes ---- */

static struct {
    u32 turn; /* whose */
    struct thread *player[2];
} game;

/* Waits for its turn, gives it to the other: between the look and the block there is a window in which the wake can come. */
static void play(void *arg)
{
    u32 me = (u32)(uintptr_t)arg;
    for (u32 i = 0; i < ROUNDS; i++) {
        /* orders: nothing but the turns; pairs with: the release below. */
        while (atomic_load_acquire(&game.turn) % 2 != me)
            thread_block();
        for (u32 pause = (i * 7 + me) % 32; pause; pause--)
            cpu_pause();
        /* orders: as above; pairs with: tests/thread.c:play (acquire). */
        atomic_store_release(&game.turn, game.turn + 1);
        thread_wake(game.player[!me]);
    }
    note_end();
    /* The other one may still be about to wake us. */
    while (!wait_until_u32(&ended, 2))
        ;
}

static void ping_pong(struct test *t, cpu_t a, cpu_t b)
{
    u32 before = thread_count();
    atomic_store_relaxed(&ended, 0);
    atomic_store_relaxed(&game.turn, 2); /* nobody's before both are known: even is player 0 */
    err_t e = thread_create(a, "ping", play, (void *)0, &game.player[0]);
    REQUIRE(t, e == ERR_OK, "%s", err_name(e));
    e = thread_create(b, "pong", play, (void *)1, &game.player[1]);
    REQUIRE(t, e == ERR_OK, "%s", err_name(e));
    thread_start(game.player[0]);
    thread_start(game.player[1]);
    if (!CHECK(t, wait_until_u32(&ended, 2), "a wake was lost: turn %u of %u, CPUs %u and %u", game.turn - 2,
               2 * ROUNDS, a, b))
        panic("threads of a test are stuck");
    CHECK(t, game.turn == 2 + 2 * ROUNDS, "%u turns", game.turn - 2);
    CHECK(t, wait_until_gone(before), "they do not end");
}

static void thread_wakes(struct test *t)
{
    cpu_t other = other_cpu(0), third = other == CPU_NONE ? CPU_NONE : other_cpu(other + 1);
    ping_pong(t, 0, 0);
    if (other != CPU_NONE) {
        ping_pong(t, 0, other);
        ping_pong(t, other, other);
    }
    if (third != CPU_NONE)
        ping_pong(t, other, third);
}
TEST(thread_wakes, "two threads take turns a thousand times, on one CPU and on two, and no wake is lost");

static void thread_wake_first(struct test *t)
{
    /* A wake that comes before the block ends it, once. */
    thread_wake(thread_self());
    thread_block();
    u64 start = rdtsc(), us = 2000;
    CHECK(t, thread_block_until(start + tsc_from_us(us)) == ERR_TIMEOUT, "a wake was counted twice");
    CHECK(t, rdtsc() - start >= tsc_from_us(us), "it ended before its time");
    thread_wake(thread_self());
    CHECK(t, thread_block_until(rdtsc() + tsc_from_us(1000000)) == ERR_OK,
          "a wake that came first did not end it");
    CHECK(t, thread_block_until(rdtsc()) == ERR_TIMEOUT, "a deadline of now");
    CHECK(t, thread_block_until(0) == ERR_TIMEOUT, "a deadline long past");
}
TEST(thread_wake_first,
     "a wake before the block ends the block at once; a deadline ends it, not before its time");

/* ---- sleep ---- */

#define SLEEPERS 40u
static struct {
    u64 deadline, went, woke;
    u32 place;
} sleeper[SLEEPERS];
static u32 places;

static void sleep_until(void *arg)
{
    u32 i = (u32)(uintptr_t)arg;
    sleeper[i].went = rdtsc();
    while (thread_block_until(sleeper[i].deadline) != ERR_TIMEOUT)
        ;
    sleeper[i].woke = rdtsc();
    sleeper[i].place = atomic_fetch_add(&places, 1);
    note_end();
}

static void sleep_on(struct test *t, cpu_t cpu)
{
    u32 before = thread_count();
    atomic_store_relaxed(&ended, 0);
    places = 0;
    u64 start = rdtsc() + tsc_from_us(5000) *
                              wait_scale; /* after all have gone to sleep, so that places can be compared */
    for (u32 i = 0; i < SLEEPERS; i++) {
        sleeper[i].deadline = start + tsc_from_us(100) * (i * 17 % SLEEPERS);
        if (!spawn(t, cpu, sleep_until, (void *)(uintptr_t)i))
            return;
    }
    if (!CHECK(t, wait_until_u32(&ended, SLEEPERS), "%u of %u woke on CPU %u", ended, SLEEPERS, cpu))
        panic("threads of a test are stuck");
    bool in_time = true; /* a busy host can keep some from falling asleep before others wake */
    for (u32 i = 0; i < SLEEPERS; i++)
        in_time &= sleeper[i].went < start;
    for (u32 i = 0; i < SLEEPERS; i++) {
        CHECK(t, sleeper[i].woke >= sleeper[i].deadline, "sleeper %u woke %llu ticks before its time", i,
              (unsigned long long)(sleeper[i].deadline - sleeper[i].woke));
        if (in_time)
            CHECK(t, sleeper[i].place == i * 17 % SLEEPERS, "sleeper %u was number %u to wake, not %u", i,
                  sleeper[i].place, i * 17 % SLEEPERS);
    }
    CHECK(t, wait_until_gone(before), "they do not end");
}

static void thread_sleeps(struct test *t)
{
    sleep_on(t, 0);
    if (other_cpu(0) != CPU_NONE)
        sleep_on(t, other_cpu(0));
    u64 start = rdtsc();
    thread_sleep_us(3000);
    CHECK(t, rdtsc() - start >= tsc_from_us(3000), "3 ms were %llu ticks",
          (unsigned long long)(rdtsc() - start));
}
TEST(thread_sleeps, "forty sleepers wake in the order of their deadlines, none before its time");
