/* Parking a CPU that does not answer: given up, and an answer that comes later harms nobody. */
#include "kernel/thread.h"
#include "tests/message_util.h"

static struct gate held;

#define PAINT 0xa5u

/* Lies where the frames of the parking were, that has returned: its late answer comes now. Returns how many bytes of it that CPU has written. */
static NOINLINE u32 written_behind(struct test *t, cpu_t cpu)
{
    volatile u8 stack[1024];
    u32 written = 0;
    for (u32 i = 0; i < sizeof(stack); i++)
        stack[i] = PAINT;
    CHECK(t, release_cpu(cpu, &held), "CPU %u goes on", cpu);
    preempt_disable();
    CHECK(t, msg_wait(cpu) == ERR_OK, "it has answered");
    preempt_enable();
    for (u32 i = 0; i < sizeof(stack); i++)
        written += stack[i] != PAINT;
    return written;
}

static void park_deaf_cpu(struct test *t)
{
    NEED_CPUS(t, 2);
    struct msg_watchdog saved = msg_watchdog;
    void (*saved_hook)(cpu_t) = msg_stuck_hook;
    REQUIRE(t, hold_cpu(1, &held), "CPU 1 holds its interrupts off");
    msg_watchdog = (struct msg_watchdog){.report_ms = 5, .retry_ms = 10, .give_up_ms = 20};
    msg_stuck_hook = NULL;
    err_t e = cpu_park(1);
    u32 written = written_behind(t, 1);
    msg_watchdog = saved;
    msg_stuck_hook = saved_hook;
    CHECK(t, e == ERR_TIMEOUT && !cpu_is_parked(1), "a CPU that does not answer was parked: %s", err_name(e));
    CHECK(t, written == 0, "%u bytes of a stack that is somebody else's by now", written);
    CHECK(t, cpu_park(1) == ERR_OK && cpu_unpark(1) == ERR_OK, "it cannot be parked later");
}
TEST(park_deaf_cpu, "a CPU that does not answer is not parked, and its late answer goes to no stack");
