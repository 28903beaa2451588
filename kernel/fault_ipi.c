#include "kernel/fault_ipi.h"

#include "apic/apic.h"
#include "apic/fault.h"
#include "kernel/fault_cpus.h"
#include "kernel/patch.h"
#include "kernel/timer.h"
#include "lib/assert.h"
#include "lib/atomic.h"
#include "lib/context.h"
#include "lib/log.h"
#include "lib/wait.h"
#include "mm/space.h"

/* Of the watchdog's report, before wait_scale: with QEMU's, two reports and rings in a second. */
#define IMPATIENT_MS 8u
/* How late an interrupt comes: later than the report, earlier than the second ring. */
#define LATE_MS 3u

/* Changes for each doorbell that is to come: policies that defer tell several at once. */
#define CHANGES_EACH 16u

enum fate { LOST, TWICE, LATE };

static struct {
    u64 left; /* doorbells until the one that goes wrong, that one included; 0: none does */
    enum fate fate;
    u32 hit;
} plan;

static PERCPU(
    struct {
        apic_id_t dest;
        u32 command;
    },
    late_command);

static void send_late(void)
{
    apic_icr_write_now(this_cpu(late_command.dest), this_cpu(late_command.command));
}

/* Not in NMI context: the timer is not its to set. */
static void postpone(apic_id_t dest, u32 command)
{
    bool was_on = irq_save();
    this_cpu(late_command.dest) = dest;
    this_cpu(late_command.command) = command;
    timer_set(TIMER_FAULT, rdtsc() + wait_ms(LATE_MS), send_late);
    irq_restore(was_on);
}

/* Only doorbells: what asks a CPU for its backtrace, and stops it in a panic, is an NMI, and comes. */
static u32 decide(apic_id_t dest, u32 command)
{
    u64 left = atomic_load_relaxed(&plan.left);
    if (!left || (command & (7u << 8)) != ICR_FIXED || (u8)command != VECTOR_MESSAGE || context_is_nmi())
        return 1;
    do
        if (!left)
            return 1;
    while (!atomic_cmpxchg(&plan.left, &left, left - 1));
    if (left != 1)
        return 1;
    atomic_fetch_add(&plan.hit, 1);
    switch (plan.fate) {
    case LOST:
        return 0;
    case TWICE:
        return 2;
    default:
        postpone(dest, command);
        return 0;
    }
}

static void begin(void)
{
    apic_fault_use(decide);
    if (apic_is_x2apic && patch_set(PATCH_ICR, true) != ERR_OK)
        panic("fault: the writes of the ICR cannot be led elsewhere");
}

static void arm(enum fate fate, u64 n)
{
    plan.fate = fate;
    plan.hit = 0;
    /* orders: the plan before its count; pairs with: kernel/fault_ipi.c:decide (LOCKed); else: a doorbell could meet a fate of
     * before. */
    atomic_store_release(&plan.left, n);
}

static void end(const char *what)
{
    atomic_store_relaxed(&plan.left, 0); /* what comes now is ours */
    if (apic_is_x2apic && patch_set(PATCH_ICR, false) != ERR_OK)
        panic("fault: the writes of the ICR cannot be put back");
    apic_fault_use(NULL);
    if (!plan.hit)
        panic("fault=%s: no doorbell went wrong", what);
}

static void nth(enum fate fate, u64 n, const char *what)
{
    struct msg_watchdog usual = fault_hurry(IMPATIENT_MS * wait_scale);
    begin();
    struct space *s = fault_begin(0);
    u64 changes = 0;
    arm(fate, n);
    /* Where none goes by a doorbell (delivery=nmi), there is an end to it. */
    for (; changes < n + 4 || (!atomic_load_relaxed(&plan.hit) && changes < CHANGES_EACH * (n + 4));
         changes++)
        fault_change(s);
    fault_end(s, what, changes);
    end(what);
    msg_watchdog = usual;
}

void fault_drop_ipi(u64 n)
{
    nth(LOST, n, "drop-ipi");
}

void fault_double_ipi(u64 n)
{
    nth(TWICE, n, "double-ipi");
}

void fault_delay_ipi(u64 n)
{
    nth(LATE, n, "delay-ipi");
}

/* CPU 1 is in a message of ours, whose line is taken: so the shootdown goes by the word and a bare doorbell. It comes while
 * that message runs, and the drain that runs it has taken its pending word already: without an interrupt nobody looks again. */
void fault_drop_word(u64 n)
{
    struct msg_watchdog usual = fault_hurry(IMPATIENT_MS * wait_scale);
    u64 words = fault_count("tlb_flush_by_word");
    (void)n;
    begin();
    struct space *s = fault_begin(0);
    fault_stall_victim(MSG_SYNC, LATE_MS);
    arm(LOST, 1);
    fault_change(s);
    fault_end(s, "drop-word", 1);
    end("drop-word");
    if (fault_count("tlb_flush_by_word") == words)
        panic("fault=drop-word: the word was not used");
    msg_watchdog = usual;
}
