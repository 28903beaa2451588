/* A message whose interrupt is lost, by either class of interrupt: who waits for it names the CPU, rings once more in the same way, and
 * gives up in the end. One thread plays all CPUs, on the real clock.
 *
 *     sources: smp/message.c smp/deliver.c smp/send.c smp/drain.c smp/wait.c smp/cpus.c lib/wait.c
 *     sanitize: address,undefined
 */
#include "tests/host/host.h"

#include <stdarg.h>

#include "lib/log.h"
#include "lib/wait.h"
#include "smp/watchdog.h"
#include "tests/host/message_machine.h"

#define CPUS 3u

static u32 runs;
static void count_run(struct msg_in *in)
{
    (void)in;
    runs++;
}
MSG_KIND(lost_kind, count_run);

static cpu_t stuck;
static u32 stuck_calls;
static void stuck_hook(cpu_t cpu)
{
    stuck = cpu;
    stuck_calls++;
}
static char log_text[2048];
void log_line(enum log_level l, const char *fmt, ...)
{
    (void)l;
    size_t n = strlen(log_text);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(log_text + n, sizeof(log_text) - n, fmt, ap);
    va_end(ap);
}

static u64 count(const char *name)
{
    TABLE_FOREACH (counter, struct counter, c)
        if (strcmp(c->name, name) == 0)
            return c->percpu[0];
    HOST_CHECK(false, "no counter %s", name);
    return 0;
}

/* CPU 1 takes what has come to it: each interrupt looks at its own class of messages only. */
static bool interrupt(void)
{
    if (!irr[1] && !nmi_latch[1])
        return false;
    host_cpu_index = 1;
    if (atomic_xchg(&nmi_latch[1], 0))
        (void)msg_drain_nmi();
    if (atomic_xchg(&irr[1], 0))
        msg_drain();
    host_cpu_index = 0;
    return true;
}

/* While CPU 0 waits: at times CPU 1 gets to run. */
static bool is_served;
static u32 accesses;
void host_sim_point(const volatile void *p)
{
    (void)p;
    if (is_served && ++accesses % 50 == 0) {
        is_served = false; /* its own accesses are not CPU 0's */
        (void)interrupt();
        is_served = true;
    }
}

static void nobody_answers(const struct msg *m)
{
    u64 reports = count("msg_watchdog_reports"), again = count("msg_rings_again");
    log_text[0] = 0;
    stuck_calls = 0;
    msg_watchdog = (struct msg_watchdog){.report_ms = 2, .retry_ms = 4, .give_up_ms = 8};
    HOST_CHECK(msg_call(1, m) == ERR_TIMEOUT, "gives up");
    HOST_CHECK(count("msg_watchdog_reports") == reports + 1 && count("msg_rings_again") == again + 1,
               "one report, one ring");
    HOST_CHECK(stuck_calls == 1 && stuck == 1, "the hook was told CPU 1");
    HOST_CHECK(strstr(log_text, "CPU 1 (APIC id 5)") && strstr(log_text, "lost_kind") &&
                   strstr(log_text, "has not looked"),
               "log: %s", log_text);
    HOST_CHECK(strstr(log_text, "ringing CPU 1 again") && strstr(log_text, "giving up"), "log: %s", log_text);
    HOST_CHECK(msg_post(1, m) == ERR_FULL, "the line stays taken");
    HOST_CHECK(msg_wait(1) == ERR_TIMEOUT && stuck_calls == 1, "the hook is called once for each stuck CPU");
    HOST_CHECK(interrupt() && msg_wait(1) == ERR_OK && runs == 1, "it answers in the end");
}

/* The latch is cleared behind the sender's back, so only the watchdog's second ring can help. */
static void second_ring_helps(const struct msg *m, const u32 *latch, const u32 *other)
{
    log_text[0] = 0;
    HOST_CHECK(msg_post(1, m) == ERR_OK && *latch && !*other, "it is rung for by the interrupt of its class");
    irr[1] = nmi_latch[1] = 0; /* lost */
    msg_watchdog.give_up_ms = 2000;
    is_served = true;
    HOST_CHECK(msg_wait(1) == ERR_OK && runs == 2, "%u runs: the second ring does not repair it: %s", runs,
               log_text);
    is_served = false;
    HOST_CHECK(strstr(log_text, "and a second ring"), "and the log says so: %s", log_text);
}

static void a_ring_is_lost(u32 flags, const u32 *latch, const u32 *other)
{
    struct msg m = {.kind = &lost_kind, .flags = flags};
    machine_init(CPUS);
    host_cpu_index = 0;
    runs = 0;
    tsc_hz = 1000000000; /* a millisecond is a million ticks: short on any host */
    msg_stuck_hook = stuck_hook;
    nobody_answers(&m);
    second_ring_helps(&m, latch, other);
    msg_stuck_hook = NULL;
}

HOST_TEST(a_lost_interrupt_is_rung_again)
{
    a_ring_is_lost(MSG_SYNC, &irr[1], &nmi_latch[1]);
    HOST_CHECK(stuck_calls == 2, "a CPU that has answered in between is reported again");
}

HOST_TEST(a_lost_nmi_is_rung_again_by_nmi)
{
    a_ring_is_lost(MSG_SYNC | MSG_NMI, &nmi_latch[1], &irr[1]);
}
