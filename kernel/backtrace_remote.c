/* What is that CPU doing? Asked and answered by NMI, so that it also works on a CPU whose interrupts are off. */
#include "apic/apic.h"
#include "kernel/panic.h"
#include "kernel/stop.h"
#include "lib/atomic.h"
#include "lib/log.h"
#include "lib/wait.h"
#include "smp/cpus.h"

#define ANSWER_LIMIT_MS 100u

enum answer { ANSWER_NONE, ANSWER_WANTED, ANSWER_READY };

static PERCPU(struct cpu_snapshot, answer_record);
static PERCPU(u32, answer_state);
static u32 asking; /* one at a time: the record is the asker's until it has been printed */

bool backtrace_answer_nmi(const struct trap_frame *f)
{
    u32 *state = this_cpu_ptr(answer_state);
    if (likely(atomic_load_relaxed(state) != ANSWER_WANTED))
        return false;
    snapshot_take(this_cpu_ptr(answer_record), f);
    /* orders: the record before the mark; pairs with: kernel/backtrace_remote.c:backtrace_remote (acquire);
     * else: half a record could be printed. */
    atomic_store_release(state, ANSWER_READY);
    return true;
}

static bool ask(cpu_t cpu)
{
    u32 *state = &per_cpu(answer_state, cpu);
    atomic_store_relaxed(state, ANSWER_WANTED); /* the ICR write orders it before the NMI (apic/apic.h) */
    apic_send_nmi(cpu_apic_id(cpu));
    struct wait w = WAIT("a CPU's answer to an NMI", wait_ms(ANSWER_LIMIT_MS));
    /* orders: reading the record after the mark; pairs with: kernel/backtrace_remote.c:backtrace_answer_nmi (release);
     * else: half a record could be printed. */
    while (atomic_load_acquire(state) != ANSWER_READY)
        if (!wait_spin(&w))
            return false;
    return true;
}

void backtrace_remote(cpu_t cpu)
{
    if (cpu == cpu_self()) {
        print("  cpu %u, the one that asks:\n", cpu);
        backtrace_print((u64)__builtin_return_address(0), *(u64 *)__builtin_frame_address(0));
        return;
    }
    if (!cpu_is_online(cpu) || !apic_is_usable_here()) {
        print("  cpu %u is not online\n", cpu);
        return;
    }
    if (atomic_xchg(&asking, 1)) {
        print("  cpu %u: another CPU's backtrace is being taken; no second one at the same time\n", cpu);
        return;
    }
    if (ask(cpu)) {
        print("  cpu %u:\n", cpu);
        snapshot_print(&per_cpu(answer_record, cpu));
    } else {
        /* A late answer would write into the record while the next one is printed; then it says what the CPU did
         * later. */
        print("  cpu %u does not answer an NMI either\n", cpu);
    }
    /* orders: the printing before the next question; pairs with: kernel/backtrace_remote.c:backtrace_remote (exchange);
     * else: the next answer could overwrite what is being printed. */
    atomic_store_release(&asking, 0);
}
