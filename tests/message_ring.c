/* The doorbell: when it is rung, when it is saved, by how many ICR writes, and that it is only a doorbell. */
#include "apic/apic.h"
#include "tests/message_util.h"

static u32 runs[MAX_CPUS]; /* each written by its own CPU */
static void count_run(struct msg_in *in)
{
    (void)in;
    set_u32(&runs[cpu_self()], runs[cpu_self()] + 1);
}
MSG_KIND(test_count, count_run);

static u32 sum_runs(void)
{
    u32 n = 0;
    for (cpu_t c = 0; c < MAX_CPUS; c++)
        n += atomic_load_relaxed(&runs[c]);
    return n;
}

static void send_one(void *arg)
{
    (void)arg;
    struct msg m = {.kind = &test_count, .flags = MSG_ASYNC};
    preempt_disable();
    (void)!msg_post(1, &m);
    preempt_enable();
}

static void message_ring_saved(struct test *t)
{
    NEED_CPUS(t, 2);
    struct gate held;
    REQUIRE(t, hold_cpu(1, &held), "CPU 1 holds its interrupts off");
    struct msg m = {.kind = &test_count, .flags = MSG_ASYNC};
    u32 before = runs[1];
    u64 icr = apic_icr_writes(), saved = counted("msg_rings_saved");
    CHECK(t, msg_send(1, &m) == ERR_OK && apic_icr_writes() == icr + 1, "the first message rings");
    smp_doorbell(1);
    smp_doorbell(1);
    CHECK(t, apic_icr_writes() == icr + 1 && counted("msg_rings_saved") == saved + 2,
          "%llu ICR writes: an interrupt that was on its way already",
          (unsigned long long)(apic_icr_writes() - icr));
    u32 messages = 1;
    if (cpus_in_a_row() > 2) {
        saved = counted("msg_rings_saved");
        CHECK(t, worker_start(2, send_one, NULL) == ERR_OK && worker_wait(2, MESSAGE_TEST_MS) == ERR_OK,
              "CPU 2 posts");
        CHECK(t, counted("msg_rings_saved") == saved + 1, "CPU 2 relies on the interrupt of CPU 0");
        messages++;
    }
    u64 interrupts = counted("msg_interrupts");
    CHECK(t, release_cpu(1, &held) && wait_for_u32(&runs[1], before + messages), "%u of %u ran",
          runs[1] - before, messages);
    CHECK(t, counted("msg_interrupts") <= interrupts + 1, "one interrupt for all");
    icr = apic_icr_writes();
    CHECK(t, msg_call(1, &m) == ERR_OK && apic_icr_writes() == icr + 1, "an empty inbox is rung again");
}
TEST(message_ring_saved, "while an interrupt is pending, further messages do not ring");

static void message_spurious(struct test *t)
{
    NEED_CPUS(t, 2);
    u32 before = sum_runs();
    u64 spurious = counted("msg_spurious");
    for (u32 i = 0; i < 3; i++) {
        u64 interrupts = counted("msg_interrupts");
        apic_send_fixed(cpu_apic_id(1), VECTOR_MESSAGE);
        struct wait w = WAIT("a spurious doorbell", wait_ms(MESSAGE_TEST_MS));
        while (counted("msg_interrupts") == interrupts)
            if (!wait_spin(&w))
                break;
    }
    struct msg m = {.kind = &test_count, .flags = MSG_SYNC};
    CHECK(t, msg_call(1, &m) == ERR_OK && sum_runs() == before + 1, "messages still work, and only they run");
    CHECK(t, counted("msg_spurious") == spurious + 3, "%llu counted",
          (unsigned long long)(counted("msg_spurious") - spurious));
}
TEST(message_spurious, "an interrupt without a message runs nothing and is counted");

static void message_to_all(struct test *t)
{
    NEED_CPUS(t, 2);
    static const enum msg_delivery modes[] = {MSG_DELIVERY_AUTO, MSG_DELIVERY_UNICAST, MSG_DELIVERY_SHORTHAND,
                                              MSG_DELIVERY_CLUSTER};
    enum msg_delivery was = msg_delivery_get();
    cpumask_t others = all_others();
    u32 n = cpumask_count(&others);
    for (u32 i = 0; i < ARRAY_SIZE(modes); i++) {
        msg_delivery_set(modes[i]);
        struct msg m = {.kind = &test_count, .flags = MSG_SYNC};
        u32 before = sum_runs(), own = runs[cpu_self()];
        u64 icr = apic_icr_writes();
        CHECK(t, msg_call_mask(&others, &m) == ERR_OK && sum_runs() == before + n, "%s: %u of %u ran",
              msg_delivery_name(), sum_runs() - before, n);
        CHECK(t, runs[cpu_self()] == own, "%s: not here", msg_delivery_name());
        icr = apic_icr_writes() - icr;
        bool shorthand = modes[i] == MSG_DELIVERY_AUTO || modes[i] == MSG_DELIVERY_SHORTHAND;
        bool complete = n + 1 == cpu_count() && n >= 2;
        if (shorthand && complete)
            CHECK(t, icr == 1, "%s: %llu ICR writes to all", msg_delivery_name(), (unsigned long long)icr);
        if (modes[i] == MSG_DELIVERY_UNICAST || !apic_is_x2apic)
            CHECK(t, icr == n || (shorthand && complete), "%s: %llu ICR writes", msg_delivery_name(),
                  (unsigned long long)icr);
        CHECK(t, icr >= 1 && icr <= n, "%s: %llu ICR writes", msg_delivery_name(), (unsigned long long)icr);
    }
    msg_delivery_set(was);
}
TEST(message_to_all, "a call to all others runs once on each, by every delivery mode");

static void message_to_subset(struct test *t)
{
    NEED_CPUS(t, 3);
    cpumask_t others = all_others(), some;
    cpumask_clear(&some);
    CPUMASK_FOREACH (c, &others)
        if (c % 2)
            cpumask_set(&some, c);
    u32 before[MAX_CPUS];
    for (cpu_t c = 0; c < MAX_CPUS; c++)
        before[c] = runs[c];
    struct msg m = {.kind = &test_count, .flags = MSG_SYNC};
    CHECK(t, msg_call_mask(&some, &m) == ERR_OK, "call");
    cpumask_set(&some, cpu_self());
    CHECK(t, msg_call_mask(&some, &m) == ERR_OK, "call, this CPU included");
    for (cpu_t c = 0; c < MAX_CPUS; c++) {
        u32 expected = c == cpu_self() ? 1 : cpumask_test(&some, c) ? 2 : 0;
        if (runs[c] - before[c] != expected)
            CHECK(t, false, "CPU %u: %u runs, expected %u", c, runs[c] - before[c], expected);
    }
    cpumask_t none, full;
    cpumask_clear(&none);
    u64 icr = apic_icr_writes();
    preempt_disable();
    msg_post_mask(&none, &m, &full);
    CHECK(t, msg_wait_mask(&none) == ERR_OK && cpumask_empty(&full) && apic_icr_writes() == icr,
          "an empty set rings nobody");
    preempt_enable();
}
TEST(message_to_subset, "a call to some runs on these and on no other");

static void message_full_in_set(struct test *t)
{
    NEED_CPUS(t, 2);
    struct gate held;
    REQUIRE(t, hold_cpu(1, &held), "CPU 1 holds its interrupts off");
    struct msg m = {.kind = &test_count, .flags = MSG_SYNC};
    cpumask_t others = all_others(), full;
    u32 before = sum_runs(), n = cpumask_count(&others);
    preempt_disable();
    CHECK(t, msg_post(1, &m) == ERR_OK, "CPU 1's line is full now");
    msg_post_mask(&others, &m, &full);
    CHECK(t, cpumask_count(&full) == 1 && cpumask_test(&full, 1), "only CPU 1 is reported full");
    CHECK(t, release_cpu(1, &held) && msg_wait_mask(&others) == ERR_OK, "all answered");
    preempt_enable();
    CHECK(t, sum_runs() == before + n, "%u messages ran, expected %u", sum_runs() - before, n);
}
TEST(message_full_in_set, "a full line in a set is reported, and the others get theirs");
