/* Parked CPUs: nobody runs there, everybody comes through, messages and kernel shootdowns are served. */
#include "kernel/worker.h"
#include "lib/context.h"
#include "mm/frame.h"
#include "mm/space.h"
#include "smp/message.h"
#include "tests/thread_util.h"
#include "tests/window.h"

static u32 ended, ran_on_parked;
static u32 go;
static u32 emptied; /* 1 + the CPU whose parking has returned: until then threads may still be there */

static void note_end(void)
{
    if (atomic_load_relaxed(&emptied) == 1 + cpu_self())
        atomic_fetch_add(&ran_on_parked, 1);
    atomic_fetch_add(&ended, 1);
}

static void sleep_a_little(void *arg)
{
    thread_sleep_us((u64)arg);
    note_end();
}

static void wait_for_go(void *arg)
{
    (void)arg;
    while (!atomic_load_relaxed(&go))
        thread_block();
    note_end();
}

static u64 answered;
static void answer(struct msg_in *in)
{
    atomic_fetch_add(&answered, in->word[0]);
}
MSG_KIND(test_parked, answer);

static void check_still_served(struct test *t, cpu_t cpu)
{
    struct msg m = {.kind = &test_parked, .flags = MSG_SYNC, .word = {1}};
    u64 before = atomic_load_relaxed(&answered);
    CHECK(t, msg_call(cpu, &m) == ERR_OK && atomic_load_relaxed(&answered) == before + 1,
          "CPU %u does not answer", cpu);
    err_t e = space_map_fresh(&kernel_space, TEST_KERNEL_VA, 1, PT_WRITE, FRAME_OWNER_TEST);
    REQUIRE(t, e == ERR_OK, "%s", err_name(e));
    tlb_gen_t gen = atomic_load_relaxed(&kernel_space.gen);
    e = space_unmap(&kernel_space, TEST_KERNEL_VA, TEST_KERNEL_VA + PAGE_SIZE);
    CHECK(t, e == ERR_OK, "%s", err_name(e));
    CHECK(t, atomic_load_relaxed(&kernel_space.cpu[cpu].flushed) > gen,
          "CPU %u has not flushed a kernel page", cpu);
}

static void park_moves_threads(struct test *t)
{
    cpu_t cpu = other_cpu(1);
    if (cpu == CPU_NONE) {
        test_skip(t, "needs 2 CPUs");
        return;
    }
    u32 before = thread_count(), n = 20;
    struct thread *waiting;
    ended = ran_on_parked = go = emptied = 0;
    for (u32 i = 0; i < n; i++)
        if (!spawn(t, cpu, sleep_a_little, (void *)(u64)(i * 100)))
            return;
    waiting = spawn_held(t, cpu, wait_for_go, NULL);
    if (!waiting)
        return;
    err_t e = cpu_park(cpu);
    REQUIRE(t, e == ERR_OK, "CPU %u cannot be parked: %s", cpu, err_name(e));
    atomic_store_relaxed(&emptied, 1 + cpu);
    u64 switches = atomic_load_relaxed(&waiting->switches);
    CHECK(t, cpu_park(cpu) == ERR_OK && cpu_is_parked(cpu), "parked twice");
    struct thread *nobody;
    CHECK(t, thread_create(cpu, "nobody", wait_for_go, NULL, &nobody) == ERR_ABSENT,
          "a parked CPU got a thread");
    CHECK(t, thread_move(thread_self(), cpu) == ERR_ABSENT && cpu_self() == 0,
          "a thread moved to a parked CPU");
    CHECK(t, worker_start(cpu, sleep_a_little, NULL) == ERR_ABSENT, "a parked CPU's worker took work");
    check_still_served(t, cpu);

    atomic_store_relaxed(&go, 1);
    thread_wake(waiting);
    if (!CHECK(t, wait_until_u32(&ended, n + 1), "%u of %u threads of a parked CPU have ended", ended, n + 1))
        panic("threads of a test are stuck");
    CHECK(t, ran_on_parked == 0, "%u threads ran on a parked CPU", ran_on_parked);
    CHECK(t, switches == 0 || waiting->cpu != cpu, "the waiting thread ended on the parked CPU");
    thread_put(waiting);
    CHECK(t, wait_until_gone(before), "they are not gone");

    atomic_store_relaxed(&emptied, 0);
    CHECK(t, cpu_unpark(cpu) == ERR_OK && !cpu_is_parked(cpu), "it cannot be unparked");
    atomic_store_relaxed(&ended, 0);
    if (spawn(t, cpu, sleep_a_little, NULL))
        CHECK(t, wait_until_u32(&ended, 1), "no thread runs on CPU %u again", cpu);
    CHECK(t, cpu_park(0) == ERR_INVAL, "CPU 0 was parked");
    CHECK(t, cpu_park(cpu_count()) == ERR_ABSENT, "parked a CPU that there is not");
    CHECK(t, wait_until_gone(before), "they are not gone");
}
TEST(park_moves_threads, "threads of a parked CPU go on elsewhere, asleep, blocked or ready; messages and "
                         "kernel flushes are served");

#define STORM_THREADS 256u
#define PARKED_LEAST  64u /* with many CPUs the time is over before each has had its turn */
static u32 stop;
static void wander(void *arg)
{
    u64 random = (u64)arg;
    while (!atomic_load_relaxed(&stop)) {
        random = random * 6364136223846793005ull + 1442695040888963407ull;
        if (random >> 60 < 8)
            thread_sleep_us(random >> 56 & 0x7f);
        else if (thread_move(thread_self(), (cpu_t)((random >> 33) % cpu_count())) != ERR_OK)
            thread_yield();
    }
    atomic_fetch_add(&ended, 1);
}

static void park_storm(struct test *t)
{
    u32 before = thread_count(), n = MIN(4 * cpu_online_count(), STORM_THREADS), parked = 0;
    u64 end = rdtsc() + tsc_from_us(500000);
    if (cpu_online_count() < 2) {
        test_skip(t, "needs 2 CPUs");
        return;
    }
    ended = stop = 0;
    for (u32 i = 0; i < n; i++)
        if (!spawn(t, i % cpu_online_count(), wander, (void *)(u64)(i + 1)))
            return;
    while (rdtsc() < end)
        for (cpu_t c = 1; c < cpu_count() && (parked < PARKED_LEAST || rdtsc() < end); c++) {
            if (!cpu_is_online(c))
                continue;
            err_t e = cpu_park(c);
            parked += CHECK(t, e == ERR_OK, "CPU %u cannot be parked: %s", c, err_name(e));
            thread_yield();
            if (c % 2) /* the others stay so until the next round */
                CHECK(t, cpu_unpark(c) == ERR_OK, "unpark");
            if (c > 1)
                CHECK(t, cpu_unpark(c - 1) == ERR_OK, "unpark");
        }
    for (cpu_t c = 1; c < cpu_count(); c++)
        if (cpu_is_online(c))
            CHECK(t, cpu_unpark(c) == ERR_OK, "unpark");
    atomic_store_relaxed(&stop, 1);
    if (!CHECK(t, wait_until_u32(&ended, n), "%u of %u threads have ended", ended, n))
        panic("threads of a test are stuck");
    CHECK(t, wait_until_gone(before), "they are not gone");
    test_note(t, "CPUs were parked %u times", parked);
}
TEST(park_storm, "CPUs are parked and unparked under threads that sleep and move: none is lost");
