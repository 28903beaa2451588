/* ceiling: from how many pages on is it cheaper to forget everything than page by page, the refill included?
 *
 * A working set of 512 pages is in the TLB. Then some of it is forgotten, page by page or all of it, and the whole set is touched
 * again: those that were forgotten are walked anew. Both parts are measured together:
 *
 *   ranged   INVLPG for each of the pages, then the touches
 *   full     CR3 written, then the touches
 *
 * Where a walk costs nothing (Bochs: a touch is one instruction, cached or not), full wins from two pages on, and only the
 * price of the flush itself is seen; the record's trust and cost say so. */
#include "bench/bench.h"
#include "lib/assert.h"
#include "lib/context.h"
#include "lib/counter.h"
#include "lib/log.h"
#include "mm/frame.h"
#include "mm/space.h"
#include "mm/tlb_local.h"

#define BASE        0x0000140000000000ull
#define WORKING_SET 512u

static const u32 pages[] = {1, 2, 4, 8, 16, 24, 33, 48, 64, 96, 128, 192, 256, 384, 512};

static ALWAYS_INLINE void touch_all(void)
{
    for (u32 i = 0; i < WORKING_SET; i++)
        (void)*(volatile u64 *)(BASE + i * PAGE_SIZE);
}

/* Interrupts off: a handler's own walks are none of ours. */
static u64 forget_and_refill(u32 n, bool full)
{
    touch_all();
    bench_jitter();
    irq_disable();
    u64 start = rdtsc_ordered();
    if (full)
        tlb_flush_space_local();
    else
        tlb_flush_range_local(BASE, n, PT_4K);
    touch_all();
    u64 ticks = bench_elapsed(start, rdtsc_ordered());
    irq_enable();
    return ticks;
}

static const struct counter *find(const char *name)
{
    const struct counter *c = counter_find(name);
    ASSERT(c, "the counters that prove the flush exist");
    return c;
}

static u64 measure(struct bench_run *b, u32 n, bool full)
{
    struct samples *s = samples_get(SAMPLES_INITIATOR);
    const struct counter *counter = find(full ? "tlb_flush_space" : "tlb_flush_pages");
    u64 forgotten = counter_value(counter, cpu_self());
    struct cell_clock clock;
    cell_begin(&clock);
    cell_watch(&clock, s);
    while (cell_continue(&clock)) {
        u64 ticks = forget_and_refill(n, full);
        if (!cell_warming_up(&clock))
            samples_add(s, ticks);
    }
    forgotten = counter_value(counter, cpu_self()) - forgotten;
    if (forgotten < (u64)clock.done * (full ? 1 : n)) {
        bench_refuse(b, "ceiling: %llu flushes were counted for %u rounds", (unsigned long long)forgotten,
                     clock.done);
        return 0;
    }
    struct bench_key k = {
        .bench = "ceiling", .op = "flush", .metric = full ? "full" : "ranged", .cpus = 1, .pages = n};
    bench_record(&k, s);
    return samples_percentile(s, 500);
}

static void run(struct bench_run *b)
{
    struct space *space;
    u32 crossover = 0;
    if (space_create(&space) != ERR_OK ||
        space_map_fresh(space, BASE, WORKING_SET, PT_WRITE, FRAME_OWNER_USER) != ERR_OK)
        panic("ceiling: no memory for %u pages", WORKING_SET);
    preempt_disable();
    space_load(space);
    print("  %5s %10s %10s   ticks (p50), of %u pages in use\n", "pages", "ranged", "full", WORKING_SET);
    for (u32 i = 0; i < ARRAY_SIZE(pages) && !bench_out_of_time(); i++) {
        u64 ranged = measure(b, pages[i], false), full = measure(b, pages[i], true);
        print("  %5u %10llu %10llu\n", pages[i], (unsigned long long)ranged, (unsigned long long)full);
        if (!crossover && full && full <= ranged)
            crossover = pages[i];
    }
    space_load(NULL);
    preempt_enable();
    if (crossover)
        print("  a full flush is no dearer from %u pages on; the ceiling in force is %u\n", crossover,
              shootdown_ceiling);
    else
        print("  a full flush was dearer for every number of pages\n");
    space_destroy(space);
}
BENCH_ON_REQUEST(ceiling, "page by page against all at once, refill included", run);
