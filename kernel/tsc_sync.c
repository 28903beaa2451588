/* CPU 0 writes a request, the other CPU stamps it with its own counter, CPU 0 sees the reply:
 *
 *     CPU 0                         CPU n
 *     before = TSC
 *     request = round  ---------->  sees it
 *                                   stamp = TSC
 *     sees it          <----------  reply = round
 *     after = TSC
 *
 * With counters in step, before <= stamp <= after. A stamp outside proves that they differ, by at least the
 * distance; that is the warp. The quickest round trip bounds the offset to half its length. */
#include "kernel/tsc_sync.h"

#include "kernel/command.h"
#include "kernel/worker.h"
#include "lib/atomic.h"
#include "lib/context.h"
#include "lib/cpumask.h"
#include "lib/log.h"
#include "lib/wait.h"
#include "smp/cpus.h"

/* Round trips: each may be disturbed, the quickest of 64 is good. A host or hypervisor that shares out time slices
 * makes some last milliseconds: then fewer do after 5 ms if a good one was among them, and after 20 ms whatever
 * there is. */
#define ROUNDS        64u
#define ROUNDS_US     5000u
#define ROUNDS_MAX_US 20000u
#define GOOD_DOUBT_US 20u
#define ROUND_STOP    (~0u)
/* For one reply, before scaling: the worker has to wake first, under an emulator behind all other CPUs' time slices. */
#define REPLY_MS               20u

#define CPUID_7_EBX_TSC_ADJUST (1u << 1)
#define MSR_TSC_ADJUST         0x3bu /* SDM volume 3B, section 18.17.3: what was written is added to the counter */

/* One CPU is probed at a time. request and skew are CPU 0's to write, the rest the other CPU's. */
static struct exchange {
    u32 request, reply;
    u64 stamp, adjust;
    s64 skew;
} CACHE_ALIGNED line;
static cpu_t line_user; /* the CPU probed last; 0: none yet */

static bool in_step;
static struct tsc_sync last_measured; /* CPU 0's */

static u64 read_adjust(void)
{
    if (cpuid(0, 0).eax < 7 || !(cpuid(7, 0).ebx & CPUID_7_EBX_TSC_ADJUST))
        return 0;
    return rdmsr(MSR_TSC_ADJUST);
}

/* On the other CPU, until CPU 0 says stop or is not heard of. */
static void answer(void *arg)
{
    struct exchange *x = arg;
    u32 answered = 0;
    atomic_store_relaxed(&x->adjust, read_adjust());
    for (;;) {
        struct wait w = WAIT("CPU 0's next request", wait_ms(REPLY_MS));
        u32 round;
        /* orders: the stamp after the request; pairs with: kernel/tsc_sync.c:round_trip (release);
         * else: a stamp taken too early would look like a warp. */
        while ((round = atomic_load_acquire(&x->request)) == answered)
            if (!wait_spin(&w))
                return;
        if (round == ROUND_STOP)
            return;
        atomic_store_relaxed(&x->stamp, rdtsc_ordered() + (u64)x->skew);
        /* orders: stamp and adjust before the reply; pairs with: kernel/tsc_sync.c:round_trip (acquire);
         * else: CPU 0 would read the stamp of an earlier round. */
        atomic_store_release(&x->reply, round);
        answered = round;
    }
}

static bool round_trip(struct exchange *x, u32 round, struct tsc_probe *p)
{
    struct wait w = WAIT("a CPU's time stamp", wait_ms(REPLY_MS));
    u64 before = rdtsc_ordered();
    /* orders: what the other CPU reads of this round, before the request; pairs with: kernel/tsc_sync.c:answer
     * (acquire); else: it could answer with the skew of an earlier probe. */
    atomic_store_release(&x->request, round);
    /* orders: reading the stamp after the reply; pairs with: kernel/tsc_sync.c:answer (release);
     * else: we would read the stamp of an earlier round. */
    while (atomic_load_acquire(&x->reply) != round)
        if (!wait_spin(&w))
            return false;
    u64 after = rdtsc_ordered(), stamp = atomic_load_relaxed(&x->stamp), half = (after - before) / 2;
    u64 warp = stamp < before ? before - stamp : stamp > after ? stamp - after : 0;
    p->warp = MAX(p->warp, warp);
    if (p->rounds++ == 0 || half < p->doubt) {
        p->doubt = half;
        p->offset = (s64)(stamp - (before + half));
    }
    return true;
}

static bool enough(u64 passed, const struct tsc_probe *p)
{
    return passed > tsc_from_us(ROUNDS_MAX_US) ||
           (passed > tsc_from_us(ROUNDS_US) && p->doubt <= tsc_from_us(GOOD_DOUBT_US));
}

err_t tsc_sync_probe(cpu_t cpu, s64 skew, struct tsc_probe *p)
{
    ASSERT_MAY_WAIT();
    ASSERT(cpu_self() == 0, "only CPU 0 is compared with others");
    *p = (struct tsc_probe){.rounds = 0};
    if (line_user && worker_busy(line_user)) /* it timed out, and may still write to the line */
        return ERR_EXIST;
    line_user = cpu;
    line = (struct exchange){.skew = skew};
    err_t e = worker_start(cpu, answer, &line);
    if (e != ERR_OK)
        return e;
    bool answered =
        round_trip(&line, 1, p); /* the worker's waking is in this one, and not in the time limit */
    u64 start = rdtsc();
    for (u32 round = 2; answered && round <= ROUNDS && !enough(rdtsc() - start, p); round++)
        answered = round_trip(&line, round, p);
    p->adjust = atomic_load_relaxed(&line.adjust);
    atomic_store_relaxed(&line.request, ROUND_STOP);
    e = worker_wait(cpu, 10 * REPLY_MS);
    return answered ? e : ERR_TIMEOUT;
}

/* Counters that may differ by more than this are not called in step, even if no warp was seen. */
#define IN_STEP_DOUBT_US 100u

static bool known_well(const struct tsc_sync *s)
{
    return s->max_doubt <= tsc_from_us(IN_STEP_DOUBT_US);
}

/* Every other CPU, or TSC_SYNC_CPUS_MAX of them: the k-th of m is taken when k * max / m reaches the next whole
 * number. */
static void choose(const cpumask_t *online, cpumask_t *chosen)
{
    u32 m = cpumask_count(online) - 1, k = 0;
    cpumask_clear(chosen);
    CPUMASK_FOREACH (cpu, online) {
        if (cpu == 0)
            continue;
        if (m <= TSC_SYNC_CPUS_MAX || k == 0 || k * TSC_SYNC_CPUS_MAX / m != (k - 1) * TSC_SYNC_CPUS_MAX / m)
            cpumask_set(chosen, cpu);
        k++;
    }
}

static void add_probe(struct tsc_sync *s, cpu_t cpu, const struct tsc_probe *p)
{
    u64 magnitude = p->offset < 0 ? 0 - (u64)p->offset : (u64)p->offset;
    s->compared++;
    if (magnitude > s->max_offset) {
        s->max_offset = magnitude;
        s->max_offset_cpu = cpu;
    }
    s->max_doubt = MAX(s->max_doubt, p->doubt);
    s->max_warp = MAX(s->max_warp, p->warp);
    if (p->adjust != read_adjust())
        s->adjust_differs = true;
}

static void report(const struct tsc_sync *s)
{
    if (s->online == 1)
        return;
    if (s->max_warp)
        log_warn("TSC: counters differ by up to %lu ticks (CPU %u), proven by a warp of %lu: times of "
                 "different CPUs are "
                 "not compared",
                 s->max_offset, s->max_offset_cpu, s->max_warp);
    else if (!s->failed && !known_well(s))
        log_info("TSC: round trips took %lu ticks at best: too disturbed to tell whether the CPUs' counters "
                 "are in step",
                 2 * s->max_doubt);
    else if (!s->failed)
        log_info(
            "TSC: %u of %u CPUs compared with CPU 0: no warp, offset at most %lu ticks, known to within %lu",
            s->compared, s->online - 1, s->max_offset, s->max_doubt);
    if (s->adjust_differs)
        log_warn("TSC: IA32_TSC_ADJUST is not the same on all CPUs: firmware has moved some counters");
}

struct tsc_sync tsc_sync_measure(void)
{
    struct tsc_sync s = {.online = cpu_online_count()};
    cpumask_t online, chosen;

    cpumask_snapshot(&online, &cpus_online);
    choose(&online, &chosen);
    CPUMASK_FOREACH (cpu, &chosen) {
        struct tsc_probe p;
        err_t e = tsc_sync_probe(cpu, 0, &p);
        if (e != ERR_OK) {
            log_warn("TSC: CPU %u could not be compared with CPU 0: %s", cpu, err_name(e));
            s.failed = true;
            break;
        }
        add_probe(&s, cpu, &p);
        if (!known_well(
                &s)) /* nothing that the others show can change the verdict now, and each would take as long */
            break;
    }
    atomic_store_relaxed(&in_step, !s.failed && s.max_warp == 0 && known_well(&s));
    report(&s);
    last_measured = s;
    return s;
}

struct tsc_sync tsc_sync_last(void)
{
    return last_measured;
}

bool tsc_is_synchronised(void)
{
    return atomic_load_relaxed(&in_step);
}

static void cmd_tsc(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    if (tsc_sync_measure().online == 1)
        print("There is only one CPU.\n");
}
COMMAND(tsc, "tsc", "compares the CPUs' time-stamp counters", cmd_tsc);
