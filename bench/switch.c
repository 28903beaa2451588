/* switch: what it costs to change the address space, and what PCIDs keep of the one that was left.
 *
 *   load      space_load of another space, whose entries have been kept if there are PCIDs
 *   return    the same, then 64 pages of it are touched: where entries were kept no page is walked
 *   borrow    space_borrow and space_load of the same space: the root stays
 *
 * `load` and `borrow` count instructions, and mean something wherever ticks do. `return` needs a TLB that keeps entries by PCID:
 * Bochs forgets them at every load whatever bit 63 says, and QEMU has no PCIDs, so there its record is not to be trusted. */
#include "bench/bench.h"
#include "lib/assert.h"
#include "lib/context.h"
#include "lib/features.h"
#include "lib/log.h"
#include "mm/frame.h"
#include "mm/space.h"

#define BASE  0x0000140000000000ull
#define PAGES 64u

static struct space *space[2];

/* What only the first space has in its first word: who reads it has that space loaded, and no entry of the other in the way. */
#define MARK 0x5ace5ace5ace5aceull

static void touch_all(void)
{
    for (u32 i = 0; i < PAGES; i++)
        (void)*(volatile u64 *)(BASE + i * PAGE_SIZE);
}

enum what { LOAD, RETURN, BORROW };
static const char *const names[] = {"load", "return", "borrow"};

static u64 measure_once(enum what what)
{
    space_load(space[0]);
    touch_all();
    if (what != BORROW) {
        space_load(space[1]);
        touch_all();
    }
    bench_jitter();
    irq_disable();
    u64 start = rdtsc_ordered();
    if (what == BORROW)
        space_borrow();
    space_load(space[0]);
    if (what == RETURN)
        touch_all();
    u64 ticks = bench_elapsed(start, rdtsc_ordered());
    irq_enable();
    return ticks;
}

static bool is_marked(void)
{
    return *(volatile u64 *)BASE == MARK;
}

/* The page means another thing in each space: is what was loaded what is seen, here and there? */
static bool shows_what_is_loaded(void)
{
    bool marked = is_marked();
    space_load(space[1]);
    bool other = is_marked();
    space_load(space[0]);
    return marked && !other;
}

static void measure(struct bench_run *b, enum what what)
{
    struct samples *s = samples_get(SAMPLES_INITIATOR);
    struct cell_clock clock;
    bool worked = true;
    cell_begin(&clock);
    cell_watch(&clock, s);
    while (cell_continue(&clock)) {
        u64 ticks = measure_once(what);
        worked = worked && shows_what_is_loaded();
        if (!cell_warming_up(&clock))
            samples_add(s, ticks);
    }
    if (!worked) {
        bench_refuse(b, "switch %s: a page of one space was seen in the other", names[what]);
        return;
    }
    struct bench_key k = {.bench = "switch",
                          .metric = names[what],
                          .cpus = 1,
                          .pages = what == RETURN ? PAGES : 0,
                          .trust = what == RETURN && emulator != EMULATOR_NONE
                                       ? "none: an emulator forgets what PCIDs would keep"
                                       : NULL};
    bench_row(&k, s);
}

static void run(struct bench_run *b)
{
    for (u32 i = 0; i < ARRAY_SIZE(space); i++)
        if (space_create(&space[i]) != ERR_OK ||
            space_map_fresh(space[i], BASE, PAGES, PT_WRITE, FRAME_OWNER_USER) != ERR_OK)
            panic("switch: no memory for two spaces of %u pages", PAGES);
    bench_table_head("ticks");
    preempt_disable();
    space_load(space[0]);
    *(volatile u64 *)BASE = MARK;
    for (enum what what = LOAD; what <= BORROW && !bench_out_of_time(); what++)
        measure(b, what);
    space_load(NULL);
    preempt_enable();
    print("  PCIDs %s%s\n", features.pcid ? "on" : "off",
          emulator == EMULATOR_NONE ? ""
                                    : "; `return` says nothing on an emulator: none keeps entries by PCID");
    for (u32 i = 0; i < ARRAY_SIZE(space); i++)
        space_destroy(space[i]);
}
BENCH_ON_REQUEST(switch, "changing the address space, and what PCIDs keep of the last one", run);
