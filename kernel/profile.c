/* Taking samples. */
#include "kernel/profile.h"

#include "apic/apic.h"
#include "kernel/gdt.h"
#include "kernel/process.h"
#include "kernel/thread.h"
#include "kernel/timer.h"
#include "kernel/uaccess.h"
#include "lib/atomic.h"
#include "lib/context.h"
#include "lib/log.h"
#include "lib/wait.h"
#include "mm/frame.h"
#include "mm/kmap.h"
#include "mm/layout.h"
#include "smp/cpus.h"
#include "smp/message.h"

#define RING_ORDER   5u /* 128 KiB: ten seconds at 100 Hz */
#define RING_SAMPLES ((PAGE_SIZE << RING_ORDER) / sizeof(struct profile_sample))
#define SETTLE_MS    20u

/* The NMI handler of the CPU writes at `head`, the reader takes at `tail`. */
struct profile_ring {
    struct profile_sample *at; /* [RING_SAMPLES]; NULL: none */
    u64 head, tail, dropped;
    u32 asked; /* NMIs sent for samples */
    u32 taken; /* of these; behind for good only where two have arrived as one */
};
static PERCPU(struct profile_ring, profile_rings);

static bool allocated;
static u32 running;  /* timers and hook look at it */
static u64 period;   /* TSC ticks */
static cpu_t second; /* rings CPU 0 */

static struct profile_ring *ring_of(cpu_t cpu)
{
    return &per_cpu(profile_rings, cpu);
}

/* ---- in the NMI ---- */

struct user_registers {
    u64 rip, rbp;
};

/* Whoever enters the kernel from ring 3 has left RIP, CS, RFLAGS, RSP and SS on top of the thread's stack; RBP, which C functions
 * save and the entry paths leave alone, is what the outermost kernel frame has saved. False: the CPU runs nothing of ring 3, or
 * stands where its registers are on the move. */
static bool find_user_registers(const struct trap_frame *f, struct user_registers *u)
{
    if (trap_is_user(f)) {
        *u = (struct user_registers){f->rip, f->rbp};
        return true;
    }
    u64 top = this_cpu(percpu_head.kernel_stack), bottom = top - KSTACK_SIZE;
    if (f->rsp < bottom || f->rsp > top - 5 * sizeof(u64))
        return false;
    const u64 *entry = (const u64 *)top - 5;
    if (entry[1] != SEL_USER_CODE || entry[4] != SEL_USER_DATA)
        return false;
    u64 rbp = f->rbp;
    for (u32 i = 0; i < 64 && rbp >= KERNEL_HALF; i++) {
        if (rbp < f->rsp || rbp > top - 2 * sizeof(u64) || rbp % sizeof(u64))
            return false;
        rbp = *(const u64 *)rbp;
    }
    *u = (struct user_registers){entry[0], rbp};
    return rbp < KERNEL_HALF;
}

/* Frames go upwards in memory; the first that does not ends the walk. */
static void walk(struct profile_sample *s, u64 rbp)
{
    while (s->depth < PROFILE_DEPTH && rbp && rbp % sizeof(u64) == 0) {
        u64 frame[2];
        if (peek_user(frame, rbp, sizeof(frame)) != ERR_OK) {
            s->refusal = USER_FAULT;
            return;
        }
        s->stack[s->depth++] = frame[1];
        if (frame[0] <= rbp)
            return;
        rbp = frame[0];
    }
}

static void take(const struct trap_frame *f, struct profile_sample *s)
{
    const struct thread *t = thread_self();
    struct user_registers u = {0, 0};
    *s = (struct profile_sample){.rip = f->rip,
                                 .in_kernel = !trap_is_user(f),
                                 .process = t && t->process ? process_number(t->process) : ~0u};
    s->refusal = find_user_registers(f, &u) ? nmi_user_refusal() : USER_NOBODY;
    s->user_rip = u.rip;
    if (s->refusal == USER_ALLOWED)
        walk(s, u.rbp);
}

static void sample(const struct trap_frame *f, struct profile_ring *r)
{
    /* orders: the reader's last look at the place before we fill it again; pairs with: kernel/profile.c:drain_ring (release);
     * else: it could read half a sample. */
    if (r->head - atomic_load_acquire(&r->tail) >= RING_SAMPLES) {
        r->dropped++;
        return;
    }
    take(f, &r->at[r->head % RING_SAMPLES]);
    /* orders: the sample before the count; pairs with: kernel/profile.c:drain_ring (acquire); else: half a sample again. */
    atomic_store_release(&r->head, r->head + 1);
}

static bool on_nmi(struct trap_frame *f)
{
    struct profile_ring *r = this_cpu_ptr(profile_rings);
    /* orders: what the ring is made of before its use; pairs with: kernel/profile.c:profile_ask (LOCKed); else: a ring of before. */
    if (r->taken == atomic_load_acquire(&r->asked))
        return false;
    if (atomic_load_relaxed(&running))
        sample(f, r);
    /* orders: all that we do with the ring before it counts as done; pairs with: kernel/profile.c:settle (acquire); else: the ring could
     * be freed, and be somebody else's, while we fill it. */
    atomic_store_release(&r->taken, r->taken + 1);
    return true;
}
NMI_HOOK(profile, on_nmi);

/* ---- the drive ---- */

void profile_ask(cpu_t cpu)
{
    atomic_fetch_add(&ring_of(cpu)->asked, 1); /* LOCKed; pairs with: kernel/profile.c:on_nmi */
    apic_send_nmi(cpu_apic_id(cpu));
}

/* IPI context, on CPU 0 and on `second`. */
static void tick(void)
{
    if (!atomic_load_relaxed(&running))
        return;
    timer_set(TIMER_PROFILE, rdtsc() + period, tick);
    if (cpu_self() == second) {
        profile_ask(0);
        return;
    }
    CPUMASK_FOREACH (c, &cpus_online)
        if (c != cpu_self())
            profile_ask(c);
}

static void switch_timer(struct msg_in *in)
{
    if (in->word[0])
        timer_set(TIMER_PROFILE, rdtsc() + period, tick);
    else
        timer_clear(TIMER_PROFILE);
}
MSG_KIND(profile_timer, switch_timer);

static err_t switch_timers(bool on)
{
    struct msg m = {.kind = &profile_timer, .flags = MSG_SYNC, .word = {on}};
    err_t e = msg_call(second, &m), here = msg_call(0, &m);
    return e != ERR_OK ? e : here;
}

static err_t allocate(void)
{
    CPUMASK_FOREACH (c, &cpus_online) {
        paddr_t p;
        err_t e = frame_alloc_order(RING_ORDER, FRAME_OWNER_KERNEL, &p);
        if (e != ERR_OK) {
            profile_free();
            return e;
        }
        *ring_of(c) = (struct profile_ring){.at = phys_to_virt(p)};
        allocated = true;
    }
    return ERR_OK;
}

bool profile_runs(void)
{
    return atomic_load_relaxed(&running);
}

err_t profile_start(u32 hz)
{
    if (hz && (hz < PROFILE_HZ_MIN || hz > PROFILE_HZ_MAX))
        return ERR_RANGE;
    if (allocated)
        return ERR_EXIST;
    second = cpumask_next(&cpus_online, 1);
    if (second == CPU_NONE || (hz && !timer_is_usable()))
        return ERR_UNSUPPORTED;
    err_t e = allocate();
    if (e != ERR_OK)
        return e;
    period = hz ? tsc_hz / hz : 0;
    atomic_store_relaxed(&running, 1);
    e = hz ? switch_timers(true) : ERR_OK;
    if (e != ERR_OK) { /* a CPU that does not answer: said by the watchdog */
        profile_stop();
        profile_free();
    }
    return e;
}

/* An NMI that was sent is taken at once, unless it has become one with another. */
static void settle(void)
{
    struct wait w = WAIT("the last sample", wait_ms(SETTLE_MS));
    CPUMASK_FOREACH (c, &cpus_online) {
        struct profile_ring *r = ring_of(c);
        /* orders: its last use of the ring before what becomes of the ring; pairs with: kernel/profile.c:on_nmi (release); else: see there. */
        while (atomic_load_acquire(&r->taken) != atomic_load_relaxed(&r->asked) && wait_spin(&w))
            ;
        u32 merged = atomic_load_relaxed(&r->asked) - atomic_load_relaxed(&r->taken);
        if (merged)
            log_debug("profile: %u NMIs to CPU %u came as one with others", merged, c);
        atomic_store_relaxed(&r->taken, atomic_load_relaxed(&r->asked));
    }
}

void profile_stop(void)
{
    if (!profile_runs())
        return;
    atomic_store_relaxed(&running, 0);
    if (period && switch_timers(false) != ERR_OK)
        log_error("profile: a CPU does not answer: its timer stays set once more");
    settle();
}

void profile_free(void)
{
    CPUMASK_FOREACH (c, &cpus_online) {
        struct profile_ring *r = ring_of(c);
        if (r->at)
            frame_free(virt_to_phys(r->at));
        r->at = NULL;
    }
    allocated = false;
}

static void drain_ring(cpu_t cpu, void (*fn)(cpu_t cpu, const struct profile_sample *s, void *arg), void *arg)
{
    struct profile_ring *r = ring_of(cpu);
    /* orders: the samples after their count; pairs with: kernel/profile.c:on_nmi (release); else: half a sample. */
    u64 head = atomic_load_acquire(&r->head);
    for (u64 i = r->tail; i < head; i++)
        fn(cpu, &r->at[i % RING_SAMPLES], arg);
    /* orders: our reads before the places are free; pairs with: kernel/profile.c:on_nmi (acquire); else: as there. */
    atomic_store_release(&r->tail, head);
}

void profile_drain(void (*fn)(cpu_t cpu, const struct profile_sample *s, void *arg), void *arg)
{
    CPUMASK_FOREACH (c, &cpus_online)
        if (ring_of(c)->at)
            drain_ring(c, fn, arg);
}

u64 profile_dropped(void)
{
    u64 sum = 0;
    CPUMASK_FOREACH (c, &cpus_online)
        sum += atomic_load_relaxed(&ring_of(c)->dropped);
    return sum;
}
