#include "kernel/fault_dead.h"

#include "apic/apic.h"
#include "kernel/fault_cpus.h"
#include "kernel/nmi.h"
#include "lib/assert.h"
#include "lib/atomic.h"
#include "lib/log.h"
#include "lib/wait.h"
#include "lib/x86/desc.h"
#include "mm/space.h"

/* Of the watchdog's report, before wait_scale; it gives up after five times as long. */
#define IMPATIENT_MS 2u

static u32 dead;

static NORETURN NOINLINE void die_for_good(void)
{
    irq_disable();
    atomic_store_relaxed(&dead, 1);
    cpu_halt_forever();
}

static void die(struct msg_in *in)
{
    (void)in;
    die_for_good();
}
MSG_KIND(fault_die, die);

static bool die_in_nmi(struct trap_frame *f)
{
    (void)f;
    if (atomic_load_relaxed(&dead) == 2 && cpu_self() == FAULT_VICTIM)
        die_for_good();
    return false;
}
NMI_HOOK(fault_dead, die_in_nmi);

static void need_the_dead(struct space *s, const char *what)
{
    struct wait w = WAIT("a CPU to die", wait_ms(1000));
    while (atomic_load_relaxed(&dead) != 1)
        if (!wait_spin(&w))
            panic("fault=%s: CPU %u does not die", what, FAULT_VICTIM);
    log_warn("fault=%s: CPU %u is dead, and has a space loaded that is changed now", what, FAULT_VICTIM);
    msg_watchdog = (struct msg_watchdog){IMPATIENT_MS, 2 * IMPATIENT_MS, 5 * IMPATIENT_MS};
    fault_change(s);
    panic("fault=%s: a shootdown ended, although CPU %u, which has the space, is dead", what, FAULT_VICTIM);
}

void fault_dies(u64 n)
{
    (void)n;
    struct space *s = fault_begin(0);
    /* Acknowledged on entry: its line is free for the shootdown's message, which then is not answered. */
    if (msg_send(FAULT_VICTIM, &(struct msg){.kind = &fault_die, .flags = MSG_ASYNC}) != ERR_OK)
        panic("fault=dies: CPU %u gets no message", FAULT_VICTIM);
    need_the_dead(s, "dies");
}

void fault_dies_in_nmi(u64 n)
{
    (void)n;
    struct space *s = fault_begin(0);
    atomic_store_relaxed(&dead, 2);
    apic_send_nmi(cpu_apic_id(FAULT_VICTIM));
    need_the_dead(s, "dies-in-nmi");
}
