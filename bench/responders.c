#include "bench/responders.h"

#include "bench/bench.h"
#include "kernel/idle.h"
#include "kernel/process.h"
#include "kernel/uaccess.h"
#include "lib/assert.h"
#include "lib/atomic.h"
#include "lib/context.h"
#include "lib/string.h"
#include "lib/wait.h"
#include "smp/cpus.h"
#include "smp/message.h"

#define ROUND_LIMIT_MS 10000u /* hang detectors */
#define END_LIMIT_MS   10000u

/* After the last responder has said that it is ready to halt: a few hundred instructions would do, and TCG runs CPUs in turn. */
#define HALT_US 20u

const char *responder_kind_name(enum responder_kind k)
{
    static const char *const names[RESPONDER_KINDS] = {"ring3", "kernel", "idle", "lazy"};
    return names[k];
}

u32 responders_right(const struct responders *r)
{
    return r->kind == RESPONDER_RING3 ? PT_USER : 0;
}

/* ---- the space ---- */

static err_t open_process(struct responders *r)
{
    void *view;
    err_t e = process_create("responder", &r->process);
    if (e != ERR_OK)
        return e;
    e = process_share_pages(r->process, WORKLOAD_VA, ALIGN_UP(sizeof(*r->ring3), PAGE_SIZE) / PAGE_SIZE,
                            &view);
    if (e != ERR_OK) {
        process_unref(r->process);
        return e;
    }
    r->ring3 = view;
    r->space = process_space(r->process);
    return ERR_OK;
}

/* The initiator is a thread of the kernel that has not been switched since it was here, or it has lost the space. */
static void load_as_initiator(const struct responders *r)
{
    space_load(r->outside ? NULL : r->space);
}

err_t responders_open(struct responders *r, enum responder_kind kind, bool outside)
{
    memset(r, 0, sizeof(*r));
    r->kind = kind;
    r->outside = outside;
    err_t e = kind == RESPONDER_RING3 ? open_process(r) : space_create(&r->space);
    if (e == ERR_OK)
        load_as_initiator(r);
    return e;
}

void responders_close(struct responders *r)
{
    space_load(NULL);
    if (r->process)
        process_unref(r->process);
    else
        space_destroy(r->space);
    r->space = NULL;
    r->process = NULL;
}

/* ---- in the kernel: the loop of one ---- */

static ALWAYS_INLINE void touch(vaddr_t va)
{
    (void)*(volatile u64 *)va;
}

static bool should_stop(const struct responders *r)
{
    return atomic_load_relaxed(&r->stop);
}

/* Until there is a round that is not `seen`, or the end; at its start everything that the kind does between two rounds. */
static u64 wait_for_round(struct responders *r, u64 seen)
{
    for (;;) {
        if (r->kind == RESPONDER_IDLE)
            irq_disable(); /* so that a doorbell rung after the look ends the halt */
        /* orders: the initiator's mapping of the range before our touches; pairs with:
         * bench/responders.c:responders_cache (release); else: a touch could fault on a page not mapped yet. */
        u64 round = atomic_load_acquire(&r->round);
        bool go = round != seen || should_stop(r);
        if (r->kind == RESPONDER_IDLE && !go)
            idle_wait(); /* as idle= says: under delivery=mwait a store may be enough to wake it */
        if (r->kind == RESPONDER_IDLE)
            irq_enable();
        if (go)
            return round;
        if (r->kind == RESPONDER_KERNEL)
            touch(r->busy);
        cpu_pause();
    }
}

static void responder_loop(void *arg)
{
    struct responders *r = arg;
    u64 seen = r->rounds_before; /* not the round of now: the initiator may be waiting for us in it already */

    preempt_disable();
    space_load(r->space);
    if (r->kind == RESPONDER_LAZY)
        space_borrow();
    preempt_enable();
    while (!should_stop(r)) {
        seen = wait_for_round(r, seen);
        if (should_stop(r))
            break;
        if (r->kind == RESPONDER_LAZY)
            space_load(r->space);
        for (u64 i = 0; i < r->pages; i++)
            touch(r->start + i * PAGE_SIZE);
        if (r->kind == RESPONDER_LAZY)
            space_borrow();
        atomic_fetch_add(&r->cached, 1);
    }
    space_load(NULL);
}

static void wake_idle(const struct responders *r)
{
    if (r->kind == RESPONDER_IDLE)
        CPUMASK_FOREACH (c, &r->cpus)
            smp_doorbell(c);
}

/* ---- beginning and end ---- */

static err_t start_threads(struct responders *r)
{
    struct workload *w = r->ring3;
    u32 started = 0;
    w->start = r->start;
    w->pages = r->pages;
    w->busy = r->busy;
    w->rounds_before = w->round;
    atomic_store_relaxed(&w->stop, 0);
    CPUMASK_FOREACH (c, &r->cpus) {
        thread_handle_t h;
        err_t e = process_start(r->process, c, WORKLOAD_VA + started, &h);
        if (e != ERR_OK)
            return e;
        started++;
    }
    return ERR_OK;
}

err_t responders_start(struct responders *r, u32 count)
{
    cpumask_clear(&r->cpus);
    r->count = 0;
    for (cpu_t c = 0; c < cpu_count() && r->count < count; c++)
        if (c != cpu_self() && cpu_is_online(c)) {
            cpumask_set(&r->cpus, c);
            r->count++;
        }
    if (r->count < count)
        return ERR_ABSENT;
    atomic_store_relaxed(&r->stop, false);
    r->rounds_before = r->round;
    if (!count)
        return ERR_OK;
    err_t e = r->kind == RESPONDER_RING3 ? start_threads(r) : bench_occupy(count + 1, responder_loop, r);
    load_as_initiator(r);
    return e;
}

void responders_stop(struct responders *r)
{
    atomic_store_relaxed(&r->stop, true);
    if (!r->count)
        return;
    if (r->kind == RESPONDER_RING3) {
        atomic_store_relaxed(&r->ring3->stop, 1);
        if (process_wait(r->process, END_LIMIT_MS, NULL) != ERR_OK)
            panic("%u responders in ring 3 have not ended", process_threads(r->process));
        load_as_initiator(r);
    } else {
        wake_idle(r);
        bench_release();
    }
}

/* ---- a round ---- */

/* The initiator's own entries. Ring 3's pages are reached by a copy, which SMAP allows. */
static void cache_here(const struct responders *r)
{
    for (u64 i = 0; i < r->pages; i++) {
        vaddr_t va = r->start + i * PAGE_SIZE;
        u64 word;
        if (r->kind != RESPONDER_RING3)
            touch(va);
        else if (peek_user(&word, va, sizeof(word)) != ERR_OK)
            panic("page %llu of the range cannot be read by the initiator", (unsigned long long)i);
    }
}

static void wait_until_halted(void)
{
    for (u64 end = rdtsc() + tsc_from_us(HALT_US); rdtsc() < end;)
        cpu_pause();
}

static void wait_until_cached(const u64 *cached, u32 count)
{
    struct wait w = WAIT("responders to touch their pages", wait_ms(ROUND_LIMIT_MS));
    /* orders: their touches before our change of the tables; pairs with: the LOCKed increments in responder_loop and
     * user/lib/workload.c:workload_respond; else: the entry under test might not be cached when it is taken away. */
    while (atomic_load_acquire(cached) != count)
        if (!wait_spin(&w))
            panic("%llu of %u responders have touched their pages",
                  (unsigned long long)atomic_load_relaxed(cached), count);
}

void responders_cache(struct responders *r)
{
    if (!r->outside)
        cache_here(r);
    if (!r->count)
        return;
    if (r->kind == RESPONDER_RING3) {
        struct workload *w = r->ring3;
        atomic_store_relaxed(&w->served, 0);
        /* orders: the mapped range before the round; pairs with: user/lib/workload.c:workload_respond (acquire); else: a responder
         * could touch what is not mapped yet, which would end it. */
        atomic_store_release(&w->round, w->round + 1);
        wait_until_cached(&w->served, r->count);
        return;
    }
    atomic_store_relaxed(&r->cached, 0);
    /* orders: the mapped range before the round; pairs with: bench/responders.c:wait_for_round (acquire); else: a responder
     * could touch what is not mapped yet. */
    atomic_store_release(&r->round, r->round + 1);
    wake_idle(r);
    wait_until_cached(&r->cached, r->count);
    if (r->kind == RESPONDER_IDLE)
        wait_until_halted();
}
