/* Idle CPUs: no wake-up is lost, however they wait and whatever tells them; and what a store alone saves. */
#include "kernel/idle.h"

#include "kernel/worker.h"
#include "lib/atomic.h"
#include "lib/counter.h"
#include "lib/wait.h"
#include "mm/frame.h"
#include "smp/message.h"
#include "tests/residents.h"
#include "tests/window.h"

#define ROUNDS test_rounds(300, 24)
#define SPREAD                                                                                               \
    400u /* PAUSEs between two messages, fewer than these: so that they come at every step of going idle */
#define SHOTS test_rounds(8, 1)
#define LONG                                                                                                 \
    test_rounds(                                                                                             \
        500, 64) /* after so many, an idle CPU is idle: with many of them each turn of ours is one of all */
#define WORK_MS 2000u

static u64 heard;
static void hear(struct msg_in *in)
{
    atomic_fetch_add(&heard, in->word[0]);
}
MSG_KIND(test_idle_hears, hear);

static void pause_for(u32 turns)
{
    for (; turns; turns--)
        cpu_pause();
}

/* Is there a way to wait of that name here? Then it is in force. */
static bool use(enum idle_how how, enum msg_delivery d)
{
    if (idle_use(how) != ERR_OK)
        return false;
    msg_delivery_set(d);
    return true;
}

static void add_one(void *arg)
{
    atomic_fetch_add((u64 *)arg, 1);
}

/* Calls, and threads that are woken, at all distances. A wake-up that is lost is repaired by the watchdog's second ring, which is
 * counted, or keeps us waiting until the limit. */
static void send_at_all_distances(struct test *t, cpu_t to)
{
    struct msg call = {.kind = &test_idle_hears, .flags = MSG_SYNC, .word = {1}};
    u64 before = atomic_load_relaxed(&heard), worked = 0;
    u32 rounds = ROUNDS;
    for (u32 i = 0; i < rounds; i++) {
        pause_for(i * 37 % SPREAD);
        CHECK(t, msg_call(to, &call) == ERR_OK, "CPU %u does not answer", to);
        if (i % 8 == 0) {
            pause_for(i * 61 % SPREAD);
            if (CHECK(t, worker_start(to, add_one, &worked) == ERR_OK, "CPU %u takes no work", to))
                CHECK(t, worker_wait(to, WORK_MS) == ERR_OK, "CPU %u does not do its work", to);
        }
    }
    CHECK(t, atomic_load_relaxed(&heard) - before == rounds && worked == (rounds + 7) / 8,
          "CPU %u heard %llu of %u messages, and did %llu of %u pieces of work", to,
          (unsigned long long)(atomic_load_relaxed(&heard) - before), rounds, (unsigned long long)worked,
          (rounds + 7) / 8);
}

static const struct way {
    enum idle_how how;
    enum msg_delivery delivery;
} ways[] = {
    {IDLE_HALT, MSG_DELIVERY_AUTO},   {IDLE_HALT, MSG_DELIVERY_MWAIT}, {IDLE_MWAIT, MSG_DELIVERY_AUTO},
    {IDLE_MWAIT, MSG_DELIVERY_MWAIT}, {IDLE_POLL, MSG_DELIVERY_AUTO},  {IDLE_POLL, MSG_DELIVERY_MWAIT},
};

static void restore(struct test *t, enum idle_how how, enum msg_delivery d)
{
    CHECK(t, idle_use(how) == ERR_OK, "idle= cannot be put back");
    msg_delivery_set(d);
}

static void idle_loses_no_wake_up(struct test *t)
{
    cpu_t to = cpumask_next(&cpus_online, 1);
    enum idle_how how = idle_how();
    enum msg_delivery d = msg_delivery_get();
    u32 tried = 0;
    if (to == CPU_NONE) {
        test_skip(t, "needs 2 CPUs");
        return;
    }
    u64 by_store = counter_now(t, "msg_woken_by_store"), again = counter_now(t, "msg_rings_again");
    for (u32 i = 0; i < ARRAY_SIZE(ways); i++)
        if (use(ways[i].how, ways[i].delivery)) {
            tried++;
            send_at_all_distances(t, to);
        }
    CHECK(t, counter_now(t, "msg_rings_again") == again, "the watchdog rang again: a wake-up was lost");
    restore(t, how, d);
    test_note(t, "%u ways; %llu wake-ups by the store alone", tried,
              (unsigned long long)(counter_now(t, "msg_woken_by_store") - by_store));
}
TEST(idle_loses_no_wake_up,
     "an idle CPU hears every message and wakes every thread, by HLT, MWAIT and polling");

/* Each call to an idle CPU either rings, or the store alone tells it: never both, never neither. */
static void check_saved(struct test *t, cpu_t to, const struct way *w)
{
    struct msg call = {.kind = &test_idle_hears, .flags = MSG_SYNC, .word = {1}};
    bool told = idle_is_told_by_store() && w->delivery == MSG_DELIVERY_MWAIT;
    /* Uncounted: it may still find the CPU waiting as it did before. */
    CHECK(t, msg_call(to, &call) == ERR_OK, "CPU %u does not answer", to);
    u64 rings = counter_value(counter_find("msg_rings"), cpu_self());
    u64 stores = counter_value(counter_find("msg_woken_by_store"), to);
    u32 rounds = ROUNDS, idle = LONG;
    for (u32 i = 0; i < rounds; i++) {
        pause_for(idle + i * 37 % idle); /* not in step with who polls */
        CHECK(t, msg_call(to, &call) == ERR_OK, "CPU %u does not answer", to);
    }
    rings = counter_value(counter_find("msg_rings"), cpu_self()) - rings;
    stores = counter_value(counter_find("msg_woken_by_store"), to) - stores;
    CHECK(t, rings + stores == rounds, "%u calls: %llu rings, %llu by the store alone", rounds,
          (unsigned long long)rings, (unsigned long long)stores);
    CHECK(t, told ? stores > 0 : stores == 0, "idle=%s, delivery=%s: %llu of %u calls by the store alone",
          idle_name(), msg_delivery_name(), (unsigned long long)stores, rounds);
    if (told)
        test_note(t, "idle=%s: %llu of %u interrupt commands saved", idle_name(), (unsigned long long)stores,
                  rounds);
}

static void idle_is_told_by_stores(struct test *t)
{
    cpu_t to = cpumask_next(&cpus_online, 1);
    enum idle_how how = idle_how();
    enum msg_delivery d = msg_delivery_get();
    if (to == CPU_NONE) {
        test_skip(t, "needs 2 CPUs");
        return;
    }
    for (u32 i = 0; i < ARRAY_SIZE(ways); i++)
        if (use(ways[i].how, ways[i].delivery))
            check_saved(t, to, &ways[i]);
    restore(t, how, d);
}
TEST(idle_is_told_by_stores,
     "delivery=mwait: an idle CPU that watches is told without an interrupt command, others with one");

/* A kernel page is everybody's, the idle CPUs' too. */
static void shoot_idle(struct test *t, const struct shootdown_policy *p)
{
    vaddr_t va = TEST_KERNEL_VA;
    u32 shots = SHOTS, idle = LONG;
    for (u32 i = 0; i < shots; i++) {
        pause_for(i * 301 % idle);
        err_t e = space_map_fresh(&kernel_space, va, 1, PT_WRITE, FRAME_OWNER_TEST);
        if (!CHECK(t, e == ERR_OK, "map: %s", err_name(e)))
            return;
        CHECK(t, space_unmap(&kernel_space, va, va + PAGE_SIZE) == ERR_OK, "unmap");
        tlb_gen_t gen = atomic_load_relaxed(&kernel_space.gen);
        CPUMASK_FOREACH (c, &kernel_space.active)
            CHECK(t, published(&kernel_space.cpu[c], gen, TLB_FLUSHED), "%s: idle CPU %u has not flushed",
                  p->name, c);
    }
}

static void idle_shootdowns(struct test *t)
{
    enum idle_how how = idle_how();
    enum msg_delivery d = msg_delivery_get();
    u64 by_store = counter_now(t, "msg_woken_by_store"), again = counter_now(t, "msg_rings_again");
    u32 cells = 0;
    if (cpu_online_count() < 2) {
        test_skip(t, "needs 2 CPUs");
        return;
    }
    for (u32 i = 0; i < ARRAY_SIZE(ways); i++) {
        if (!use(ways[i].how, ways[i].delivery))
            continue;
        TABLE_FOREACH (policy, struct shootdown_policy, p) {
            const struct shootdown_policy *before;
            if (!POLICY_USABLE(p) || !policy_use(t, p->name, &before))
                continue;
            shoot_idle(t, p);
            policy_restore(t, before);
            cells++;
        }
    }
    CHECK(t, counter_now(t, "msg_rings_again") == again, "the watchdog rang again: a wake-up was lost");
    restore(t, how, d);
    test_note(t, "%u policies and ways; %llu times an idle CPU was told by the store alone", cells,
              (unsigned long long)(counter_now(t, "msg_woken_by_store") - by_store));
}
TEST(idle_shootdowns,
     "idle CPUs have flushed a kernel page when its unmap returns, however they wait, under every policy");
