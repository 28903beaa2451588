/* Does another CPU's store end MWAIT on this machine? CPUID promises it; some processors (kernel/idle_choose.c) and emulators (Bochs 2.7, whose
 * other CPUs go on writing through their cached translation, unseen by the monitor) do not keep it. Then nobody is told by a store alone. */
#include "kernel/idle_internal.h"

#include "kernel/worker.h"
#include "lib/atomic.h"
#include "lib/wait.h"
#include "lib/x86/cpu.h"
#include "smp/message.h"

#define TRIALS     3u
#define ARRIVES_US 1000000u
#define ASLEEP_US  20u  /* from the word to the store: it sleeps by then */
#define WAKE_US    500u /* long against any way out of C1 */

static struct {
    u64 word CACHE_ALIGNED;
    u32 ready CACHE_ALIGNED;
    u32 woken;
} trial;

static void sleeper(void *arg)
{
    (void)arg;
    bool was_on = irq_save();
    cpu_monitor(&trial.word);
    atomic_store_relaxed(&trial.ready, 1);
    if (!atomic_load_relaxed(&trial.word))
        cpu_mwait(MWAIT_BREAK_ON_MASKED);
    atomic_store_relaxed(&trial.woken, 1);
    irq_restore(was_on);
}

static bool within_us(const u32 *flag, u64 us)
{
    u64 start = rdtsc();
    while (!atomic_load_relaxed(flag)) {
        if (rdtsc() - start > tsc_from_us(us))
            return false;
        cpu_pause();
    }
    return true;
}

static void nothing(struct msg_in *in)
{
    (void)in;
}
MSG_KIND(idle_trial_ends, nothing);

static bool store_wakes(cpu_t cpu)
{
    static const u32 never;
    trial.ready = trial.woken = 0;
    atomic_store_relaxed(
        &trial.word, 0); /* as a sender has, this CPU has the translation cached when the other one arms */
    if (worker_start(cpu, sleeper, NULL) != ERR_OK || !within_us(&trial.ready, ARRIVES_US))
        return false;
    (void)within_us(&never, ASLEEP_US);
    atomic_store_relaxed(&trial.word, 1);
    bool woken = within_us(&trial.woken, WAKE_US);
    /* If not, an interrupt ends it. */
    bool answered = msg_call(cpu, &(struct msg){.kind = &idle_trial_ends, .flags = MSG_SYNC}) == ERR_OK;
    return worker_wait(cpu, 1000) == ERR_OK && answered && woken;
}

bool idle_try_stores(void)
{
    cpu_t cpu = cpumask_next(&cpus_online, 1);
    for (u32 i = 0; i < TRIALS; i++)
        if (cpu == CPU_NONE || !store_wakes(cpu))
            return false;
    return true;
}
