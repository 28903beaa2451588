#include "kernel/fault_cpus.h"

#include "apic/apic.h"
#include "kernel/trap.h"
#include "kernel/worker.h"
#include "lib/atomic.h"
#include "lib/context.h"
#include "lib/counter.h"
#include "lib/log.h"
#include "lib/percpu.h"
#include "lib/wait.h"
#include "mm/frame.h"
#include "mm/space.h"
#include "smp/cpus.h"
#include "smp/message.h"

#define VICTIM   FAULT_VICTIM
#define PLACE    (2 * GIB)
#define LIMIT_MS 60000u

static u32 stage; /* of the victim */
enum { BEFORE, READY, STALLED, LEAVE };

static u64 hold_ms;

static void reach(u32 s)
{
    /* orders: what was done before the stage before it; pairs with: kernel/fault_cpus.c:await (acquire); else: the other one
     * could go on too early. */
    atomic_store_release(&stage, s);
}

static void await(u32 s)
{
    struct wait w = WAIT("the other CPU of a fault", wait_ms(LIMIT_MS));
    /* orders, pairs with: kernel/fault_cpus.c:reach (release); else: as there. */
    while (atomic_load_acquire(&stage) < s)
        if (!wait_spin(&w))
            panic("fault: CPU %u waits for the other one in vain", cpu_self());
}

static void delay_ms(u64 ms)
{
    while (ms--)
        delay_us(1000);
}

/* On the victim: has the space loaded, so that it is told of each change; with interrupts off for a while, if asked. */
static void victim(void *arg)
{
    preempt_disable();
    space_load(arg);
    if (hold_ms)
        irq_disable();
    reach(READY);
    delay_ms(hold_ms);
    irq_enable();
    await(LEAVE);
    space_load(NULL);
    preempt_enable();
}

void fault_change(struct space *s)
{
    err_t e = space_map_fresh(s, PLACE, 4, PT_READ | PT_WRITE | PT_USER, FRAME_OWNER_USER);
    if (e == ERR_OK)
        e = space_unmap(s, PLACE, PLACE + 4 * PAGE_SIZE);
    if (e != ERR_OK)
        panic("fault: a change of a space ended with: %s", err_name(e));
}

struct space *fault_begin(u64 ms)
{
    struct space *s;
    if (space_create(&s) != ERR_OK)
        panic("fault: no memory for a space");
    /* Keeps the table, so that the changes are plain ones, which any policy serves. */
    if (space_map_fresh(s, PLACE + 16 * PAGE_SIZE, 1, PT_READ | PT_USER, FRAME_OWNER_USER) != ERR_OK)
        panic("fault: no memory for a page");
    hold_ms = ms;
    atomic_store_relaxed(&stage, BEFORE);
    if (worker_start(VICTIM, victim, s) != ERR_OK)
        panic("fault: CPU %u takes no work", VICTIM);
    await(READY);
    return s;
}

u64 fault_count(const char *counter)
{
    const struct counter *c = counter_find(counter);
    return c ? counter_sum(c) : 0;
}

void fault_end(struct space *s, const char *what, u64 changes)
{
    reach(LEAVE);
    if (worker_wait(VICTIM, LIMIT_MS) != ERR_OK)
        panic("fault: CPU %u does not come back", VICTIM);
    space_destroy(s);
    log_info(
        "fault=%s: survived: %llu changes ended, the watchdog has reported %llu and rung again %llu times",
        what, (unsigned long long)changes, (unsigned long long)fault_count("msg_watchdog_reports"),
        (unsigned long long)fault_count("msg_rings_again"));
}

/* The watchdog's patience, shorter than the fault, so that the report is seen; it gives up much later. */
struct msg_watchdog fault_hurry(u64 ms)
{
    struct msg_watchdog usual = msg_watchdog;
    u64 part = MAX(ms / (4 * wait_scale), 1);
    msg_watchdog = (struct msg_watchdog){.report_ms = part, .retry_ms = 2 * part, .give_up_ms = LIMIT_MS};
    return usual;
}

void fault_hold(u64 ms)
{
    struct msg_watchdog usual = fault_hurry(ms);
    struct space *s = fault_begin(ms);
    for (u32 i = 0; i < 4; i++)
        fault_change(s);
    fault_end(s, "hold", 4);
    msg_watchdog = usual;
}

static void stall(struct msg_in *in)
{
    u64 ms = in->word[0];
    reach(STALLED);
    delay_ms(ms);
}
MSG_KIND(fault_stall_kind, stall);

void fault_stall_victim(u32 flags, u64 ms)
{
    struct msg m = {.kind = &fault_stall_kind, .flags = flags, .word = {ms}};
    preempt_disable();
    if (msg_post(VICTIM, &m) != ERR_OK)
        panic("fault: CPU %u gets no message", VICTIM);
    preempt_enable();
    await(STALLED);
}

void fault_stall(u64 ms)
{
    struct msg_watchdog usual = fault_hurry(ms);
    struct space *s = fault_begin(0);
    fault_stall_victim(MSG_ASYNC, ms); /* its line is free again: the shootdown goes by message */
    for (u32 i = 0; i < 4; i++)
        fault_change(s);
    fault_end(s, "stall", 4);
    msg_watchdog = usual;
}

static bool storming;
static u64 storm_taken;

static bool in_storm(struct trap_frame *f)
{
    (void)f;
    if (!atomic_load_relaxed(&storming))
        return false;
    atomic_fetch_add(&storm_taken, 1);
    return true;
}
NMI_HOOK(fault_storm, in_storm);

void fault_nmi_storm(u64 n)
{
    struct space *s = fault_begin(0);
    atomic_store_relaxed(&storm_taken, 0);
    atomic_store_relaxed(&storming, true);
    for (u64 i = 0; i < n; i++) {
        CPUMASK_FOREACH (c, &cpus_online)
            apic_send_nmi(cpu_apic_id(c));
        fault_change(s);
    }
    delay_us(1000);
    fault_end(s, "nmi-storm", n);
    atomic_store_relaxed(&storming, false);
    log_info("fault=nmi-storm: %llu NMIs were taken", (unsigned long long)storm_taken);
}
