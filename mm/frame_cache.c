/* A small stack of single frames on each CPU, so that most allocations and frees touch no shared line. Filled and
 * emptied by half, so that a CPU that alternates between the two does not go to the buddy lists each time. */
#include "lib/assert.h"
#include "lib/context.h"
#include "lib/percpu.h"
#include "lib/spinlock.h"
#include "mm/fail.h"
#include "mm/frame_internal.h"

#define CACHE_FRAMES 32u /* 128 KiB: 512 CPUs keep at most 64 MiB from each other */
#define CACHE_BATCH  (CACHE_FRAMES / 2)

struct frame_cache {
    u32 count;   /* read by other CPUs for statistics */
    bool ready;  /* at the CPU's first use of it */
    bool listed; /* in `caches` */
    struct frame_cache *next;
    u32 frame[CACHE_FRAMES];
};
static PERCPU(struct frame_cache, frame_cache);

/* All that are ready, for statistics. Only ever grows. */
static struct frame_cache *caches;
static spinlock_t caches_lock = SPINLOCK_INIT;

static bool caches_off; /* each CPU looks where its cache is not ready: see frame_cache_use */

/* CPU 0's boot block is copied when it gets its own (lib/percpu.c): frames cached there would belong to two caches.
 * All other blocks are kept for ever. */
static bool block_is_final(void)
{
#ifdef VOLLEY_HOST
    return true;
#else
    return this_cpu(percpu_head.self) != (u64)percpu_boot;
#endif
}

/* Interrupts off. */
static COLD bool start_cache(struct frame_cache *c)
{
    if (!block_is_final() || atomic_load_relaxed(&caches_off))
        return false;
    if (!c->listed) {
        spin_lock(&caches_lock);
        c->next = caches;
        caches = c;
        spin_unlock(&caches_lock);
        c->listed = true;
    }
    c->ready = true;
    return true;
}

static ALWAYS_INLINE bool is_ready(struct frame_cache *c)
{
    return likely(c->ready) || start_cache(c);
}

u32 frame_cache_take(enum frame_state as)
{
    bool irq = irq_save();
    struct frame_cache *c = this_cpu_ptr(frame_cache);
    u32 n = FRAME_NONE;

    if (unlikely(!is_ready(c))) {
        n = fail_here("a frame") ? FRAME_NONE : frame_buddy_take(FRAME_4K, as);
    } else {
        u32 count = c->count;
        if (unlikely(!count))
            count = frame_buddy_take_singles(c->frame, CACHE_BATCH);
        if (likely(count)) {
            n = c->frame[--count];
            atomic_store_relaxed(&frame_at(n)->state, (u8)as);
        }
        atomic_store_relaxed(&c->count, count);
    }
    irq_restore(irq);
    return n;
}

/* The cache is full, or is not there yet. Interrupts off; on again if `irq`. */
static COLD void give_slowly(struct frame_cache *c, u32 n, bool irq)
{
    if (unlikely(!is_ready(c))) {
        frame_buddy_give(n, FRAME_4K);
    } else {
        u32 count = c->count;
        if (count == CACHE_FRAMES) {
            /* The oldest go: the newest are the ones whose contents are still in this CPU's data cache. */
            frame_buddy_give_singles(c->frame, CACHE_BATCH);
            count -= CACHE_BATCH;
            for (u32 i = 0; i < count; i++)
                c->frame[i] = c->frame[i + CACHE_BATCH];
        }
        c->frame[count] = n;
        atomic_store_relaxed(&c->count, count + 1);
    }
    irq_restore(irq);
}

void frame_cache_give(u32 n)
{
    bool irq = irq_save();
    struct frame_cache *c = this_cpu_ptr(frame_cache);
    u32 count = c->count;
    if (unlikely(!c->ready || count == CACHE_FRAMES)) {
        give_slowly(c, n, irq); /* the last thing, so that this way saves no registers for it */
        return;
    }
    c->frame[count] = n;
    atomic_store_relaxed(&c->count, count + 1);
    irq_restore(irq);
}

void frame_drain_cache(void)
{
    bool irq = irq_save();
    struct frame_cache *c = this_cpu_ptr(frame_cache);
    if (c->ready) {
        frame_buddy_give_singles(c->frame, c->count);
        atomic_store_relaxed(&c->count, 0);
    }
    irq_restore(irq);
}

void frame_cache_use(bool use)
{
    atomic_store_relaxed(&caches_off, !use);
    bool irq = irq_save();
    frame_drain_cache();
    this_cpu_ptr(frame_cache)->ready = false; /* the next use asks anew */
    irq_restore(irq);
}

u64 frame_cache_count(void)
{
    u64 frames = 0;
    bool irq = spin_lock_irqsave(&caches_lock);
    for (const struct frame_cache *c = caches; c; c = c->next)
        frames += atomic_load_relaxed(&c->count);
    spin_unlock_irqrestore(&caches_lock, irq);
    return frames;
}
