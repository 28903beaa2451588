/* CPUs that come online while the boot CPU's patience ends: each is either counted and online, or halts; never
 * both, never neither, and nobody joins after smp_start_all has returned its count. Threads play the CPUs.
 *
 *     sources: smp/bringup.c smp/ap_mailbox.c smp/cpus.c lib/param.c lib/wait.c
 *     sanitize: thread
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include "apic/apic.h"
#include "lib/ap_params.h"
#include "lib/log.h"
#include "lib/wait.h"
#include "smp/cpus.h"
#include "tests/host/host.h"

#define CPUS   4u
#define ROUNDS 400u

static u8 page[PAGE_SIZE] __attribute__((aligned(4096)));
static u8 trampoline[256] __attribute__((aligned(8))) = {0xea};
#define PARAMS_OFFSET (sizeof(trampoline) - sizeof(struct ap_params))

bool apic_is_x2apic = true;
volatile u32 *apic_mmio;
u64 rdmsr(u32 msr)
{
    return msr & 0;
}
u64 cr0_read(void)
{
    return 0;
}
u64 cr4_read(void)
{
    return 0;
}
u64 apic_icr_writes(void)
{
    return 0;
}
u32 apic_error_take(void)
{
    return 0;
}
void apic_send_init(apic_id_t dest)
{
    (void)dest;
}
void log_line(enum log_level l, const char *fmt, ...)
{
    (void)l;
    (void)fmt;
}

static u32 go[CPUS], claimed[CPUS], halted[CPUS], online[CPUS];
static u32 spins_before_claim[CPUS], spins_before_online[CPUS];
static __thread sigjmp_buf halt_jump;

void apic_send_startup(apic_id_t dest, paddr_t start_page)
{
    (void)start_page;
    /* orders: slots and parameters before the start, as the ICR write does; pairs with: play_cpu; else: it finds no
     * slot. */
    atomic_store_release(&go[dest], 1);
}

/* CLI in a user program: the CPU halts. */
static void on_fault(int sig)
{
    (void)sig;
    siglongjmp(halt_jump, 1);
}

static void spin(u32 n)
{
    for (volatile u32 i = 0; i < n; i++)
        ;
}

/* Before each access to shared memory: makes the moment between a CPU's two steps, slot and mask, long enough to be
 * hit. */
void host_sim_point(const volatile void *p)
{
    if (host_cpu_index != 0 && p == &cpus_online.w[0])
        spin(3000);
}

static void *play_cpu(void *arg)
{
    host_cpu_index = (cpu_t)(uintptr_t)arg;
    cpu_t self = host_cpu_index;
    /* orders: our reads of slots and parameters after the start; pairs with: apic_send_startup; else: stale ones. */
    while (!atomic_load_acquire(&go[self]))
        sched_yield();
    spin(spins_before_claim[self]);
    struct ap_params *p = (struct ap_params *)(page + PARAMS_OFFSET);
    struct ap_slot *slot = &((struct ap_slot *)p->slots)[self];
    u32 open = 0;
    if (!atomic_cmpxchg(&slot->claimed, &open, 1))
        return NULL; /* parked by the trampoline */
    atomic_store_relaxed(&claimed[self], 1);
    spin(spins_before_online[self]);
    if (sigsetjmp(halt_jump, 1) == 0) {
        smp_cpu_online();
        atomic_store_relaxed(&online[self], 1);
    } else {
        atomic_store_relaxed(&halted[self], 1);
    }
    return NULL;
}

static void never_called(u64 cpu)
{
    (void)cpu;
}

/* Returns how many of the three others came online. */
static u32 one_round(u32 round)
{
    static struct smp_start s;
    s = (struct smp_start){.trampoline = trampoline,
                           .trampoline_size = sizeof(trampoline),
                           .trampoline_params_offset = PARAMS_OFFSET,
                           .page = PADDR(0x7000),
                           .page_virt = page,
                           .entry = never_called,
                           .wait_ms = 1};
    cpumask_clear(&cpus_online);
    smp_cpu_online();
    pthread_t thread[CPUS];
    for (cpu_t c = 1; c < CPUS; c++) {
        go[c] = claimed[c] = halted[c] = online[c] = 0;
        spins_before_claim[c] = (u32)rand() % 2000;
        spins_before_online[c] = (u32)rand() % 20000;
        pthread_create(&thread[c], NULL, play_cpu, (void *)(uintptr_t)c);
    }
    u32 counted = smp_start_all(&s);
    for (cpu_t c = 1; c < CPUS; c++)
        pthread_join(thread[c], NULL);
    u32 came = 0;
    for (cpu_t c = 1; c < CPUS; c++) {
        HOST_CHECK(cpu_is_online(c) == online[c], "round %u: CPU %u is %s in the mask, but %s itself", round,
                   c, cpu_is_online(c) ? "online" : "offline", online[c] ? "went on" : "stopped");
        HOST_CHECK(online[c] + halted[c] == claimed[c], "round %u: CPU %u claimed %u, online %u, halted %u",
                   round, c, claimed[c], online[c], halted[c]);
        came += online[c];
    }
    HOST_CHECK(counted == came + 1, "round %u: %u counted, %u came", round, counted, came + 1);
    return came;
}

HOST_TEST(every_cpu_is_counted_or_halts)
{
    struct sigaction act = {.sa_handler = on_fault};
    sigaction(SIGSEGV, &act, NULL);
    for (cpu_t c = 0; c < CPUS; c++)
        HOST_CHECK(cpu_add(c) == ERR_OK, "CPU %u", c);
    srand(1);
    /* The patience goes from next to nothing to some hundred microseconds, and so past the CPUs' delays. */
    u32 came = 0;
    for (u32 round = 0; round < ROUNDS; round++) {
        tsc_hz = 1000000ull * (1 + round % 200);
        came += one_round(round);
    }
    HOST_CHECK(came > 0 && came < ROUNDS * (CPUS - 1), "%u of %u came: the deadline was never close", came,
               ROUNDS * (CPUS - 1));
}
