/* Messages that are not answered: the watchdog says who, helps once, and gives up; its verdict reaches the caller. */
#include "smp/slot.h"
#include "tests/message_util.h"

static u32 runs;
static void count_run(struct msg_in *in)
{
    (void)in;
    set_u32(&runs, runs + 1);
}
MSG_KIND(test_unanswered, count_run);

static cpu_t stuck_cpu;
static u32 stuck_calls;
static void note_stuck(cpu_t cpu)
{
    stuck_cpu = cpu;
    stuck_calls++;
}

static struct gate held;
static void release_when_stuck(cpu_t cpu)
{
    note_stuck(cpu);
    set_u32(&held.release, 1);
}

/* Limits short enough for a test. wait_scale stretches them under an emulator. */
static struct msg_watchdog saved_limits;
static void (*saved_hook)(cpu_t);
static void begin(void (*hook)(cpu_t), u64 give_up_ms)
{
    saved_limits = msg_watchdog;
    saved_hook = msg_stuck_hook;
    msg_watchdog = (struct msg_watchdog){.report_ms = 5, .retry_ms = 10, .give_up_ms = give_up_ms};
    msg_stuck_hook = hook;
    stuck_cpu = CPU_NONE;
    stuck_calls = runs = 0;
}
static void end(void)
{
    msg_watchdog = saved_limits;
    msg_stuck_hook = saved_hook;
}

static void message_watchdog_reports(struct test *t)
{
    NEED_CPUS(t, 2);
    REQUIRE(t, hold_cpu(1, &held), "CPU 1 holds its interrupts off");
    begin(release_when_stuck, 5000);
    u64 reports = counted("msg_watchdog_reports");
    struct msg m = {.kind = &test_unanswered, .flags = MSG_SYNC};
    CHECK(t, msg_call(1, &m) == ERR_OK && runs == 1, "the call succeeds once CPU 1 is let go");
    CHECK(t, stuck_calls == 1 && stuck_cpu == 1, "%u reports, the last on CPU %u", stuck_calls, stuck_cpu);
    CHECK(t, counted("msg_watchdog_reports") == reports + 1, "and it is counted");
    end();
    CHECK(t, release_cpu(1, &held), "CPU 1 goes on");
}
TEST(message_watchdog_reports, "a CPU that does not answer is named, and a late answer still counts");

static void message_watchdog_gives_up(struct test *t)
{
    NEED_CPUS(t, 2);
    REQUIRE(t, hold_cpu(1, &held), "CPU 1 holds its interrupts off");
    begin(note_stuck, 20);
    struct msg m = {.kind = &test_unanswered, .flags = MSG_SYNC};
    CHECK(t, msg_call(1, &m) == ERR_TIMEOUT && runs == 0, "the caller learns that nothing has run");
    preempt_disable();
    CHECK(t, msg_post(1, &m) == ERR_FULL, "the line stays taken");
    CHECK(t, release_cpu(1, &held), "CPU 1 goes on");
    CHECK(t, msg_wait(1) == ERR_OK && runs == 1, "and the message runs after all, once");
    preempt_enable();
    end();
    CHECK(t, stuck_calls == 1 && stuck_cpu == 1, "%u reports", stuck_calls);
}
TEST(message_watchdog_gives_up, "a wait ends with a timeout when the other CPU never answers");

static void lose_ring(struct test *t, u32 flags)
{
    begin(note_stuck, 5000);
    u64 again = counted("msg_rings_again");
    struct msg m = {.kind = &test_unanswered, .flags = flags};
    CHECK(t, msg_call(1, &m) == ERR_OK && runs == 1, "the line is open and free");
    preempt_disable();
    /* A post whose interrupt is lost on the way: everything but the ring. */
    struct msg_slot *s = msg_slot_to(1);
    if (CHECK(t, slot_claim(s), "free")) {
        slot_fill(s, slot_what(m.kind, m.flags, m.tag), m.word);
        CHECK(t, inbox_publish(msg_pending_at(1, m.flags), this_cpu(msg_self).bit), "the inbox was empty");
        CHECK(t, msg_wait(1) == ERR_OK && runs == 2, "%u runs", runs);
    }
    preempt_enable();
    end();
    CHECK(t, counted("msg_rings_again") == again + 1, "by the watchdog's ring");
}

/* An interrupt serves its own class only, so the second ring has to be of the same kind as the first. */
static void message_lost_ring(struct test *t)
{
    NEED_CPUS(t, 2);
    lose_ring(t, MSG_SYNC);
    lose_ring(t, MSG_SYNC | MSG_NMI);
}
TEST(message_lost_ring, "a lost doorbell or NMI is noticed and rung again");
