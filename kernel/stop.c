/* Stopping the other CPUs. */
#include "kernel/stop.h"

#include "apic/apic.h"
#include "lib/atomic.h"
#include "lib/log.h"
#include "lib/wait.h"
#include "lib/x86/cpu.h"
#include "lib/x86/desc.h"
#include "smp/cpus.h"

/* A CPU answers within microseconds; one in System Management Mode, within some milliseconds. */
#define STOP_LIMIT_MS 100u

static PERCPU(struct cpu_snapshot, stop_record);
static PERCPU(u32, stop_done);
static u32 stopping;             /* set once, by the one that panics */
static cpu_t stopper = CPU_NONE; /* it: stops for nobody */

bool apic_is_usable_here(void)
{
    u64 want = apic_is_x2apic ? APIC_BASE_EN | APIC_BASE_EXTD : APIC_BASE_EN;
    return (apic_is_x2apic || apic_mmio) && (rdmsr(MSR_APIC_BASE) & want) == want;
}

void snapshot_take(struct cpu_snapshot *s, const struct trap_frame *f)
{
    s->rip = f->rip;
    s->rsp = f->rsp;
    s->rbp = f->rbp;
    s->rflags = f->rflags;
    s->cr3 = cr3_read();
    backtrace_capture(f->rip, f->rsp, f->rbp, &s->trace);
}

void snapshot_print(const struct cpu_snapshot *s)
{
    print("    rsp %016llx  rbp %016llx  rflags %llx (interrupts %s)  cr3 %llx\n", (unsigned long long)s->rsp,
          (unsigned long long)s->rbp, (unsigned long long)s->rflags, s->rflags & RFLAGS_IF ? "on" : "off",
          (unsigned long long)s->cr3);
    backtrace_write(&s->trace);
}

static NORETURN void halt_as_stopped(void)
{
    /* orders: the snapshot before the mark; pairs with: kernel/stop.c:has_stopped (acquire);
     * else: panic could print half a snapshot. */
    atomic_store_release(this_cpu_ptr(stop_done), 1);
    cpu_halt_forever();
}

static bool has_stopped(cpu_t cpu)
{
    /* orders: reading the snapshot after the mark; pairs with: kernel/stop.c:halt_as_stopped (release);
     * else: panic could print half a snapshot. */
    return atomic_load_acquire(&per_cpu(stop_done, cpu)) != 0;
}

NORETURN void stop_here(u64 rip, u64 rbp)
{
    irq_disable();
    struct trap_frame here = {.rip = rip, .rbp = rbp, .rflags = rflags_read()};
    snapshot_take(this_cpu_ptr(stop_record), &here);
    halt_as_stopped();
}

void stop_if_asked_nmi(const struct trap_frame *f)
{
    /* orders: reading stopper after the request; pairs with: kernel/stop.c:stop_others (release);
     * else: the panicking CPU, hit by a stray NMI, could stop for itself. */
    if (likely(!atomic_load_acquire(&stopping)) || stopper == cpu_self())
        return;
    if (!this_cpu(stop_done)) /* else it has stopped by itself, and its record may be being read */
        snapshot_take(this_cpu_ptr(stop_record), f);
    halt_as_stopped();
}

const struct cpu_snapshot *stop_snapshot(cpu_t cpu)
{
    return &per_cpu(stop_record, cpu);
}

/* One CPU at a time instead of by the all-but-self shorthand, which would also reach CPUs that have not started: one
 * that waits for its SIPI, or is still in the trampoline without an IDT, must not get an NMI. */
static void send_stop(const cpumask_t *targets)
{
    CPUMASK_FOREACH (c, targets)
        apic_send_nmi(cpu_apic_id(c));
}

void stop_others(cpumask_t *stopped)
{
    cpumask_t targets;
    cpumask_clear(stopped);
    stopper = cpu_self();
    /* orders: stopper before the request; pairs with: kernel/stop.c:stop_if_asked_nmi (acquire);
     * else: an NMI on this CPU could find the request and not the exception from it. */
    atomic_store_release(&stopping, 1);
    if (!apic_is_usable_here())
        return;
    cpumask_clear(&targets);
    cpumask_snapshot(&targets, &cpus_online);
    cpumask_unset(&targets, cpu_self());
    send_stop(&targets);

    struct wait w = WAIT("the other CPUs to stop", wait_ms(STOP_LIMIT_MS));
    while (!cpumask_empty(&targets)) {
        CPUMASK_FOREACH (c, &targets) {
            if (!has_stopped(c))
                continue;
            cpumask_unset(&targets, c);
            cpumask_set(stopped, c);
        }
        if (!wait_spin(&w))
            return;
    }
}
