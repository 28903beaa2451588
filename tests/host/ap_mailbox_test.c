/* The wake-up mailbox, its firmware played by threads: each CPU is woken once, with its own vector, in spite of the one word for all; one
 * that does not listen costs its own wait only.
 *
 *     sources: smp/ap_mailbox.c lib/wait.c
 *     sanitize: thread
 */
#include <pthread.h>
#include <sched.h>

#include "lib/atomic.h"
#include "lib/wait.h"
#include "smp/ap_mailbox.h"
#include "tests/host/host.h"

#define CPUS 6u

static struct ap_mailbox box;
static u64 woken_at[CPUS];
static bool stop;

static void *firmware(void *arg)
{
    apic_id_t id = (apic_id_t)(uintptr_t)arg;
    while (!atomic_load_relaxed(&stop)) {
        if (atomic_load_acquire(&box.command) == AP_MAILBOX_WAKE &&
            atomic_load_relaxed(&box.apic_id) == id * 3) {
            atomic_store_relaxed(&woken_at[id], woken_at[id] + atomic_load_relaxed(&box.vector));
            atomic_store_release(&box.command, AP_MAILBOX_NONE);
            return NULL;
        }
        sched_yield(); /* on a busy host the one whose turn it is would wait for the slices of all the others */
    }
    return NULL;
}

static void run(u32 deaf, bool *taken)
{
    pthread_t threads[CPUS];
    memset(woken_at, 0, sizeof(woken_at));
    stop = false;
    tsc_hz = 1000000000;
    for (u32 i = 0; i < CPUS; i++)
        if (i != deaf)
            pthread_create(&threads[i], NULL, firmware, (void *)(uintptr_t)i);
    for (u32 i = 0; i < CPUS; i++)
        taken[i] = ap_mailbox_wake(&box, i * 3, 0x8000 + i, i == deaf ? 20 : 600000);
    atomic_store_relaxed(&stop, true);
    for (u32 i = 0; i < CPUS; i++)
        if (i != deaf)
            pthread_join(threads[i], NULL);
}

HOST_TEST(each_cpu_is_woken_once)
{
    bool taken[CPUS];
    for (u32 round = 0; round < 20; round++) {
        run(CPUS, taken);
        for (u32 i = 0; i < CPUS; i++)
            HOST_CHECK(taken[i] && woken_at[i] == 0x8000 + i, "CPU %u: %d, at %lx", i, taken[i], woken_at[i]);
    }
}

HOST_TEST(a_deaf_one_does_not_stop_the_others)
{
    bool taken[CPUS];
    run(2, taken);
    for (u32 i = 0; i < CPUS; i++)
        HOST_CHECK(taken[i] == (i != 2) && woken_at[i] == (i == 2 ? 0 : 0x8000 + i), "CPU %u: %d, at %lx", i,
                   taken[i], woken_at[i]);
    HOST_CHECK(box.command == AP_MAILBOX_NONE, "the word is %u", box.command);
}
