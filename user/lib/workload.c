#include "user/lib/workload.h"

#include "user/lib/atomic.h"
#include "user/lib/cpu.h"
#include "user/lib/sys.h"

struct workload *workload_of(u64 arg)
{
    return arg < SYS_PAGE ? NULL : (struct workload *)(arg & ~(SYS_PAGE - 1));
}

u64 workload_number(u64 arg)
{
    return arg < SYS_PAGE ? 0 : arg & (SYS_PAGE - 1);
}

bool workload_stopped(const struct workload *w)
{
    return w && atomic_load_relaxed(&w->stop);
}

u64 workload_count(const struct workload *w, u64 arg, u64 usual)
{
    u64 asked = w ? w->count : arg;
    return asked ? asked : usual;
}

u64 workload_threads(const struct workload *w, u64 most)
{
    s64 cpus = sys_cpus(0, NULL);
    u64 threads = w && w->threads ? w->threads : (u64)cpus - 1;
    return MIN(threads, most);
}

u64 workload_pauses(u64 usual, u64 least)
{
    u64 cpus = (u64)sys_cpus(0, NULL);
    u64 fewer = usual * 8 / cpus;
    return cpus <= 8 ? usual : fewer < least ? least : fewer;
}

void workload_respond(struct workload *w, u64 number)
{
    struct workload_thread *self = &w->thread[number];
    u64 seen = w->rounds_before, cpu;
    sys_thread_self(&cpu);
    atomic_store_relaxed(&self->cpu, cpu);
    while (!workload_stopped(w)) {
        /* orders: the initiator's mapping of the range before our touches; pairs with: bench/responders.c:responders_cache
         * and user/lib/workload.c:workload_begin_round (release); else: we could touch a page that is not mapped yet. */
        u64 round = atomic_load_acquire(&w->round);
        if (round != seen) {
            seen = round;
            for (u64 i = 0; i < w->pages; i++)
                touch_read(w->start + i * SYS_PAGE);
            atomic_store_relaxed(&self->rounds, self->rounds + 1);
            atomic_fetch_add(&w->served, 1);
        }
        touch_read(w->busy);
        atomic_store_relaxed(&self->turns, self->turns + 1);
        cpu_pause();
    }
}

bool workload_begin_round(struct workload *w, u64 count)
{
    if (!count)
        return !workload_stopped(w);
    atomic_store_relaxed(&w->served, 0);
    /* orders: the mapped range before the round; pairs with: user/lib/workload.c:workload_respond (acquire); else: a responder
     * could touch what is not mapped yet. */
    atomic_store_release(&w->round, w->round + 1);
    /* orders: their touches before what we do next; pairs with: the LOCKed increment in workload_respond; else: an entry under
     * test might not be cached when it is taken away. */
    while (atomic_load_acquire(&w->served) != count) {
        if (workload_stopped(w))
            return false;
        cpu_pause();
    }
    return true;
}

u64 workload_ns(void)
{
    struct sys_clock clock = {0};
    sys_clock(&clock);
    return clock.ns;
}
