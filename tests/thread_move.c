/* Threads that change CPUs: by themselves, while they are blocked, ready or asleep; and storms of everything at once. */
#include "kernel/worker.h"
#include "tests/thread_util.h"

static u32 ended;

/* ---- by itself ---- */

#define TOURS   test_rounds(20, 1)
#define THREADS MIN(3 * cpu_online_count(), 96u)
static struct {
    u32 wrong, steps, tours;
} tour;

static void go_round(void *arg)
{
    (void)arg;
    for (u32 i = 0; i < tour.tours; i++)
        for (cpu_t c = 0; c < cpu_count(); c++) {
            if (thread_move(thread_self(), c) != ERR_OK)
                continue; /* not online */
            atomic_fetch_add(&tour.steps, 1);
            if (cpu_self() != c)
                atomic_fetch_add(&tour.wrong, 1);
        }
    atomic_fetch_add(&ended, 1);
}

static void thread_tours(struct test *t)
{
    u32 before = thread_count(), n = THREADS;
    tour.tours = TOURS;
    tour.wrong = tour.steps = 0;
    atomic_store_relaxed(&ended, 0);
    for (u32 i = 0; i < n; i++)
        if (!spawn(t, 0, go_round, NULL))
            return;
    if (!CHECK(t, wait_until_u32(&ended, n), "%u of %u threads have ended", ended, n))
        panic("threads of a test are stuck");
    CHECK(t, tour.wrong == 0 && tour.steps == n * tour.tours * cpu_online_count(),
          "%u of %u steps ended elsewhere", tour.wrong, tour.steps);
    CHECK(t, thread_move(thread_self(), cpu_count()) == ERR_ABSENT, "moved to a CPU that there is not");
    CHECK(t, wait_until_gone(before), "they do not end");
}
TEST(thread_tours,
     "threads that move themselves go on where they wanted to be, through all CPUs, many at once");

/* ---- by another ---- */

static struct {
    u32 go;
    cpu_t on;
} patient;

static void wait_for_go(void *arg)
{
    (void)arg;
    while (!atomic_load_relaxed(&patient.go)) {
        thread_block();
        atomic_store_relaxed(&patient.on, cpu_self());
    }
    atomic_fetch_add(&ended, 1);
}

static void thread_moved(struct test *t)
{
    if (cpu_online_count() < 2) {
        test_skip(t, "needs 2 CPUs");
        return;
    }
    u32 before = thread_count();
    atomic_store_relaxed(&ended, 0);
    patient.go = 0;
    struct thread *thread = spawn_held(t, 0, wait_for_go, NULL);
    if (!thread)
        return;
    for (u32 i = test_rounds(200, 1); i; i--)
        for (cpu_t c = 0; c < cpu_count(); c++) {
            if (!cpu_is_online(c))
                continue;
            CHECK(t, thread_move(thread, c) == ERR_OK, "CPU %u takes no thread", c);
            struct wait w = WAIT("a thread to move", wait_ms(THREAD_TEST_MS));
            while (atomic_load_relaxed(&thread->cpu) != c || atomic_load_relaxed(&patient.on) != c) {
                thread_yield();
                if (!wait_spin(&w))
                    panic("a blocked thread does not get to CPU %u, it is on %u", c, thread->cpu);
            }
        }
    atomic_store_relaxed(&patient.go, 1);
    thread_wake(thread);
    thread_put(thread);
    CHECK(t, wait_until_u32(&ended, 1), "it does not end");
    CHECK(t, wait_until_gone(before), "it is not gone");
}
TEST(thread_moved,
     "a blocked thread goes to each CPU that another wants it on, and finds its next wake there");

/* ---- storm ---- */

#define STORM_MS      1500u
#define STORM_THREADS 24u
static struct {
    u32 stop, born, gone, lost;
    u32 asked[STORM_THREADS],
        done[STORM_THREADS]; /* a request has to be seen: no wake may be lost on the way */
    struct thread *thread[STORM_THREADS];
} storm;

static u64 next_random(u64 *state)
{
    *state = *state * 6364136223846793005ull + 1442695040888963407ull;
    return *state >> 33;
}

static void child(void *arg)
{
    (void)arg;
    thread_yield();
    atomic_fetch_add(&storm.gone, 1);
}

/* Answers requests; in between it sleeps, yields, moves and has children. */
static void storm_main(void *arg)
{
    u32 me = (u32)(uintptr_t)arg;
    u64 random = me + 1;
    while (!atomic_load_relaxed(&storm.stop)) {
        struct thread *t;
        switch (next_random(&random) % 8) {
        case 0:
            thread_sleep_us(next_random(&random) % 200);
            break;
        case 1:
            thread_yield();
            break;
        case 2:
            if (thread_move(thread_self(), (cpu_t)(next_random(&random) % cpu_count())) != ERR_OK)
                thread_yield();
            break;
        case 3:
            if (thread_create((cpu_t)(next_random(&random) % cpu_count()), "child", child, NULL, &t) ==
                ERR_OK) {
                atomic_fetch_add(&storm.born, 1);
                thread_start(t);
            }
            break;
        default:
            while (atomic_load_relaxed(&storm.asked[me]) == storm.done[me] &&
                   !atomic_load_relaxed(&storm.stop))
                thread_block();
            atomic_store_relaxed(&storm.done[me], storm.asked[me]);
            break;
        }
    }
    atomic_fetch_add(&ended, 1);
}

static void disturb(u64 *random)
{
    u32 i = (u32)(next_random(random) % STORM_THREADS);
    if (next_random(random) % 4 == 0) {
        if (thread_move(storm.thread[i], (cpu_t)(next_random(random) % cpu_count())) != ERR_OK)
            cpu_pause();
    } else {
        atomic_fetch_add(&storm.asked[i], 1);
        thread_wake(storm.thread[i]);
    }
}

static void thread_storm(struct test *t)
{
    u32 before = thread_count();
    u64 random = 42, rounds = 0, end = rdtsc() + tsc_from_us(STORM_MS * 1000);
    storm.stop = storm.born = storm.gone = 0;
    atomic_store_relaxed(&ended, 0);
    for (u32 i = 0; i < STORM_THREADS; i++) {
        storm.asked[i] = storm.done[i] = 0;
        storm.thread[i] = spawn_held(t, i % cpu_online_count(), storm_main, (void *)(uintptr_t)i);
        if (!storm.thread[i])
            return;
    }
    while (rdtsc() < end) {
        disturb(&random);
        thread_yield();
        rounds++;
    }
    /* Everybody's last request has to be answered: who sleeps through it stays behind. */
    for (u32 i = 0; i < STORM_THREADS; i++) {
        struct wait w = WAIT("a request of the storm to be answered", wait_ms(THREAD_TEST_MS));
        while (atomic_load_relaxed(&storm.done[i]) != atomic_load_relaxed(&storm.asked[i])) {
            thread_yield();
            if (!wait_spin(&w))
                panic("a wake was lost: thread %u on CPU %u, state %u", i, storm.thread[i]->cpu,
                      storm.thread[i]->state);
        }
    }
    atomic_store_relaxed(&storm.stop, 1);
    for (u32 i = 0; i < STORM_THREADS; i++) {
        thread_wake(storm.thread[i]); /* it may be waiting for a request */
        thread_put(storm.thread[i]);
    }
    if (!CHECK(t, wait_until_u32(&ended, STORM_THREADS), "%u of %u threads have ended", ended, STORM_THREADS))
        panic("threads of a test are stuck");
    CHECK(t, wait_until_u32(&storm.gone, storm.born), "%u of %u children have run", storm.gone, storm.born);
    CHECK(t, wait_until_gone(before), "%u threads are left", thread_count() - before);
    test_note(t, "%llu disturbances, %u children", (unsigned long long)rounds, storm.born);
}
TEST(thread_storm,
     "threads that sleep, move, wait and have children, and are woken and moved by others: none is lost");
