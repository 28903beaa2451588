#include "bench/responders.h"

#include "bench/bench.h"
#include "lib/assert.h"
#include "lib/atomic.h"
#include "lib/wait.h"

#define ROUND_LIMIT_MS 10000u /* hang detector */

static ALWAYS_INLINE void touch(vaddr_t va)
{
    (void)*(volatile u64 *)va;
}

void responder_loop(void *arg)
{
    struct responders *r = arg;
    u64 seen = r->rounds_before; /* not the round of now: the initiator may be waiting for us in it already */

    space_load(r->space);
    while (!bench_should_stop()) {
        /* orders: the initiator's mapping of the range before our touches; pairs with:
         * bench/responders.c:responders_cache (release); else: a touch could fault on a page not mapped yet. */
        u64 round = atomic_load_acquire(&r->round);
        if (round != seen) {
            seen = round;
            for (u64 i = 0; i < r->pages; i++)
                touch(r->start + i * PAGE_SIZE);
            atomic_fetch_add(&r->cached, 1);
        }
        touch(r->busy);
        cpu_pause();
    }
    space_load(NULL);
}

void responders_cache(struct responders *r, u32 count)
{
    atomic_store_relaxed(&r->cached, 0);
    /* orders: the mapped range before the round; pairs with: bench/responders.c:responder_loop (acquire); else: a responder
     * could touch what is not mapped yet. */
    atomic_store_release(&r->round, r->round + 1);
    for (u64 i = 0; i < r->pages; i++)
        touch(r->start + i * PAGE_SIZE);
    struct wait w = WAIT("responders to touch their pages", wait_ms(ROUND_LIMIT_MS));
    /* orders: their touches before our change of the tables; pairs with: the LOCKed increment in responder_loop; else: the
     * entry under test might not be cached when it is taken away. */
    while (atomic_load_acquire(&r->cached) != count)
        if (!wait_spin(&w))
            panic("%u of %u responders have touched their pages", atomic_load_relaxed(&r->cached), count);
}
