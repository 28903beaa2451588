/* Which mode the timers get: TSC-deadline only where it fires, at its time, on a counter that was not set back.
 *
 *     sources:
 *     flags: -DHOST_PERCPU_BLOCKS
 *     sanitize: address,undefined
 */
#define rdtsc     hardware_rdtsc
#define cpu_pause hardware_pause
#include "lib/x86/cpu.h"
#undef rdtsc
#undef cpu_pause
static u64 rdtsc(void);
static void cpu_pause(void);

#include "kernel/timer.c"

#include "tests/host/host.h"

#define TURN 1000u /* ticks that a turn of a waiting loop lasts: 1 us */

u64 tsc_hz = 1000000000, apic_timer_hz = 1000000;
struct cpu_features features;
char *host_percpu_block[HOST_CPUS];

static enum { GOOD, DEAD, EARLY, LEFT_PENDING } kind;
static u64 now, armed; /* TSC; armed 0: not */
static u32 oneshot_count, interrupts;
static bool deadline_mode, irqs, pending;
static bool have_adjust;
static s64 adjust;
static char said[256];

/* ---- the machine ---- */

static u64 rdtsc(void)
{
    return now;
}

static void cpu_pause(void)
{
    now += TURN;
    bool due = pending || (deadline_mode && armed && kind != DEAD && (kind == EARLY || now >= armed));
    if (!irqs || !due)
        return;
    pending = false;
    armed = 0;
    interrupts++;
    irqs = false;
    timer_interrupt(VECTOR_TIMER);
    irqs = true;
}

void irq_enable(void)
{
    irqs = true;
}
void irq_disable(void)
{
    irqs = false;
}
bool irq_save(void)
{
    bool was = irqs;
    irqs = false;
    return was;
}
void irq_restore(bool was_on)
{
    irqs = was_on;
}
bool apic_is_x2apic = true;
volatile u32 *apic_mmio;
void wrmsr(u32 msr, u64 v)
{
    HOST_CHECK(msr == 0x80b && !v, "MSR %x: an EOI is all that is written", msr);
}
void apic_timer_mode(bool deadline)
{
    deadline_mode = deadline;
    armed = 0;
    oneshot_count = 0;
}
void apic_timer_deadline(u64 tsc)
{
    HOST_CHECK(deadline_mode, "a deadline in the other mode is lost");
    armed = tsc;
}
void apic_timer_oneshot(u32 ticks)
{
    HOST_CHECK(!deadline_mode, "a count in the other mode is lost");
    oneshot_count = ticks;
}
void apic_timer_stop(void)
{
    oneshot_count = 0;
}
int safe_rdmsr(u32 msr, u64 *out)
{
    HOST_CHECK(msr == 0x3b, "MSR %x", msr);
    *out = (u64)adjust;
    return have_adjust ? 0 : EXC_GENERAL_PROTECTION;
}

bool wait_look(struct wait *w)
{
    w->left = 1;
    w->start = w->start ? w->start : now;
    return now - w->start < w->limit;
}
u64 tsc_from_us(u64 us)
{
    return us * 1000;
}
void log_line(enum log_level l, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(said, sizeof(said), fmt, ap);
    va_end(ap);
    (void)l;
}

/* ---- boots ---- */

static const char *boot(int k, bool has, s64 value)
{
    static char block[2][256];
    for (u32 i = 0; i < ARRAY_SIZE(block); i++) {
        memset(block[i], 0, sizeof(block[i]));
        host_percpu_block[i] = block[i];
    }
    HOST_CHECK((u64)(__stop_percpu - __start_percpu) <= sizeof(block[0]), "the blocks are too small");
    host_cpu_index = 0;
    features.tsc_deadline = true;
    kind = k, have_adjust = has, adjust = value;
    now = 5, armed = 0, interrupts = 0;
    pending = k == LEFT_PENDING;
    deadline_mode = irqs = false;
    said[0] = 0;
    timer_init();
    HOST_CHECK(!irqs && !armed, "interrupts %u, armed %llu", irqs, (unsigned long long)armed);
    HOST_CHECK(deadline_mode == (strcmp(timer_mode_name(), "tsc-deadline") == 0), "%s", timer_mode_name());
    return timer_mode_name();
}

static bool another_cpu(s64 value)
{
    host_cpu_index = 1;
    adjust = value;
    deadline_mode = false; /* the registers are each CPU's own */
    said[0] = 0;
    timer_init_cpu();
    bool by_deadline = deadline_mode;
    timer_set(TIMER_SLEEP, now + 5000000, note_probe);
    HOST_CHECK(by_deadline ? armed == now + 5000000 : oneshot_count == 5000, "armed %llu, count %u",
               (unsigned long long)armed, oneshot_count);
    return by_deadline;
}

HOST_TEST(one_that_fires_at_its_time_is_used)
{
    HOST_CHECK(!strcmp(boot(GOOD, true, 0), "tsc-deadline") && interrupts == 1, "%s", said);
    HOST_CHECK(!strcmp(boot(GOOD, true, 1ll << 40), "tsc-deadline"), "a counter set forward: %s", said);
    HOST_CHECK(!strcmp(boot(GOOD, false, -1), "tsc-deadline"), "no such register: %s", said);
    HOST_CHECK(!strcmp(boot(LEFT_PENDING, true, 0), "tsc-deadline") && interrupts == 2,
               "one interrupt that was pending: %s", said);
}

HOST_TEST(one_that_never_fires_is_not)
{
    HOST_CHECK(!strcmp(boot(DEAD, true, 0), "one-shot") && strstr(said, "does not come"), "%s", said);
}

HOST_TEST(one_that_fires_at_once_and_again_is_not)
{
    HOST_CHECK(!strcmp(boot(EARLY, true, 0), "one-shot") && strstr(said, "before its time"), "%s", said);
    HOST_CHECK(interrupts == EARLY_LIMIT, "%u interrupts", interrupts);
}

HOST_TEST(a_counter_that_was_set_back_is_not_tried)
{
    HOST_CHECK(!strcmp(boot(GOOD, true, -1), "one-shot") && strstr(said, "set the TSC back"), "%s", said);
    HOST_CHECK(interrupts == 0, "%u interrupts", interrupts);
}

HOST_TEST(other_cpus_decide_by_their_own_counter)
{
    boot(GOOD, true, 0);
    HOST_CHECK(another_cpu(0) && !said[0], "%s", said);
    boot(GOOD, true, 0);
    HOST_CHECK(another_cpu(1000), "set forward: %s", said);
    boot(GOOD, true, 0);
    HOST_CHECK(!another_cpu(-1000) && strstr(said, "CPU 1: firmware has set the TSC back"), "%s", said);
    boot(DEAD, true, 0);
    HOST_CHECK(!another_cpu(0), "CPU 0 has no deadline mode: %s", said);
}

HOST_TEST(who_insists_gets_it)
{
    HOST_CHECK(!set_mode("deadline"), "a value of timer=");
    HOST_CHECK(!strcmp(boot(EARLY, true, -1), "tsc-deadline") && another_cpu(-1), "%s", said);
    HOST_CHECK(!set_mode("oneshot") && !strcmp(boot(GOOD, true, 0), "one-shot"), "%s", said);
    HOST_CHECK(!set_mode("auto"), "a value of timer=");
}
