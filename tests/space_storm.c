/* Switches against changes. One CPU changes a page of a space again and again; all others load the space, another one, the
 * kernel's root, or borrow, in an order of their own, and read the page whenever they may. What they must find is always the
 * same: nothing older than what the page meant when they last looked at the clock of changes. */
#include "kernel/trap.h"
#include "kernel/worker.h"
#include "lib/context.h"
#include "lib/wait.h"
#include "mm/frame.h"
#include "mm/layout.h"
#include "mm/space.h"
#include "smp/cpus.h"
#include "tests/oracle.h"
#include "tests/residents.h"
#include "tests/window.h"

#define STORM_MS 20000u
#define CHANGES  test_rounds(150, 24) /* at least */
#define PAUSES   test_rounds(64, 4)   /* after each: every other CPU's turns */
#define READS                                                                                                \
    32u /* of the changing page, before the storm may end: a busy host may let the readers run late */
#define FRAMES       4u /* so that a frame has its next content long before it is mapped again */
#define SPACES       3u /* the one that changes, and others to be elsewhere */
#define LONE_VA      (TEST_USER_VA + 2 * GIB) /* alone in its tables */
#define CONTENT(gen) (0x570a400000000000ull + (gen))

static struct storm {
    struct space *space[SPACES];
    paddr_t frame[FRAMES];
    u64 now;  /* the page means CONTENT(now), or something newer */
    u32 done; /* no more changes */
    struct storm_cpu {
        u64 reads, faults, switches, stale;
        u64 found, expected;
    } CACHE_ALIGNED cpu[MAX_CPUS];
} storm;

/* xorshift: each CPU its own sequence, the same in each run. */
static u32 next(u32 *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

static void read_once(struct storm_cpu *me)
{
    u64 v;
    /* orders: the change before our read of the page; pairs with: tests/space_storm.c:advance (release); else: the page
     * would be held to a change that we cannot have seen. */
    u64 least = atomic_load_acquire(&storm.now);
    if (safe_read_u64((const void *)LONE_VA, &v) != 0) {
        me->faults++;
        return;
    }
    atomic_store_relaxed(&me->reads, me->reads + 1);
    if (v - CONTENT(0) >= least)
        return;
    if (!me->stale++) {
        me->found = v;
        me->expected = CONTENT(least);
    }
}

static void storm_main(void *arg)
{
    struct storm_cpu *me = arg;
    u32 random = 0x9e3779b9u + cpu_self();
    struct wait w = WAIT("the end of the storm", wait_ms(STORM_MS));
    preempt_disable();
    while (!atomic_load_relaxed(&storm.done) && wait_spin(&w)) {
        u32 what = next(&random) % 8;
        me->switches++;
        if (what < 4)
            space_load(storm.space[0]);
        else if (what < 6)
            space_load(storm.space[what - 3]);
        else if (what == 6)
            space_borrow();
        else
            space_load(NULL);
        if (what < 4)
            for (u32 i = next(&random) % 4; i; i--)
                read_once(me);
    }
    space_load(NULL);
    preempt_enable();
}

static void advance(u64 now)
{
    /* orders: the change before its number; pairs with: tests/space_storm.c:read_once (acquire); else: as there. */
    atomic_store_release(&storm.now, now);
}

static err_t change(u64 gen, bool tables)
{
    paddr_t frame = storm.frame[gen % FRAMES];
    observe_fill(frame, CONTENT(gen));
    if (!tables)
        return space_remap(storm.space[0], LONE_VA, frame, PT_4K, PT_WRITE);
    err_t e = space_unmap(storm.space[0], LONE_VA, LONE_VA + PAGE_SIZE);
    if (e == ERR_OK)
        e = space_map(storm.space[0], LONE_VA, frame, PAGE_SIZE, PT_4K, PT_WRITE);
    return e;
}

static bool storm_open(struct test *t)
{
    storm = (struct storm){0};
    bool ok = true;
    for (u32 i = 0; i < SPACES && ok; i++)
        ok = CHECK(t, space_create(&storm.space[i]) == ERR_OK, "no space");
    for (u32 i = 0; i < FRAMES; i++) {
        storm.frame[i] = PADDR_NONE;
        ok = ok && CHECK(t, frame_alloc(FRAME_OWNER_TEST, &storm.frame[i]) == ERR_OK, "no frame");
    }
    if (!ok)
        return false;
    observe_fill(storm.frame[0], CONTENT(0));
    err_t e = space_map(storm.space[0], LONE_VA, storm.frame[0], PAGE_SIZE, PT_4K, PT_WRITE);
    return CHECK(t, e == ERR_OK, "map: %s", err_name(e));
}

static void storm_close(void)
{
    for (u32 i = 0; i < SPACES; i++)
        if (storm.space[i])
            space_destroy(storm.space[i]);
    for (u32 i = 0; i < FRAMES; i++)
        if (!paddr_is_none(storm.frame[i]))
            frame_free(storm.frame[i]);
}

static void storm_judge(struct test *t, const cpumask_t *cpus)
{
    struct storm_cpu sum = {0};
    CPUMASK_FOREACH (c, cpus) {
        const struct storm_cpu *o = &storm.cpu[c];
        CHECK(t, worker_wait(c, 2 * STORM_MS) == ERR_OK, "CPU %u does not end", c);
        CHECK(t, !o->stale, "CPU %u: %llu stale reads of %llu, the first found %llx instead of %llx or newer",
              c, (unsigned long long)o->stale, (unsigned long long)o->reads, (unsigned long long)o->found,
              (unsigned long long)o->expected);
        sum.reads += o->reads;
        sum.faults += o->faults;
        sum.switches += o->switches;
    }
    CHECK(t, sum.reads > 0, "nobody ever read the page");
    test_note(t, "%llu switches, %llu reads, %llu of an absent page", (unsigned long long)sum.switches,
              (unsigned long long)(sum.reads + sum.faults), (unsigned long long)sum.faults);
}

static bool have_read(const cpumask_t *cpus)
{
    u64 reads = 0;
    CPUMASK_FOREACH (c, cpus)
        reads += atomic_load_relaxed(&storm.cpu[c].reads);
    return reads >= READS;
}

static void storm_run(struct test *t, bool tables)
{
    cpumask_t cpus = {0};
    if (cpu_online_count() < 2) {
        test_skip(t, "needs 2 CPUs");
        return;
    }
    if (storm_open(t)) {
        CPUMASK_FOREACH (c, &cpus_online)
            if (c != cpu_self() && worker_start(c, storm_main, &storm.cpu[c]) == ERR_OK)
                cpumask_set(&cpus, c);
        struct wait w = WAIT("the readers of the storm", wait_ms(STORM_MS / 2));
        u32 changes = CHANGES, pauses = PAUSES;
        for (u64 gen = 1; gen <= changes || (!have_read(&cpus) && wait_spin(&w)); gen++) {
            err_t e = change(gen, tables);
            if (!CHECK(t, e == ERR_OK, "change %llu: %s", (unsigned long long)gen, err_name(e)))
                break;
            advance(gen);
            /* Lets the others run: an emulator may give each CPU its turn only when the one before waits. */
            for (u32 i = 0; i < pauses; i++)
                cpu_pause();
        }
        atomic_store_relaxed(&storm.done, 1);
        storm_judge(t, &cpus);
    }
    storm_close();
    if (!oracle.remote)
        test_blind(t, "a stale entry of another CPU would not show on this machine");
}

static void bug_freebsd_en_22_04_kept_pcid_is_stale(struct test *t)
{
    storm_run(t, false);
}
TEST(bug_freebsd_en_22_04_kept_pcid_is_stale, "FreeBSD EN-22:04, OpenBSD's early pm_cpus: no switch back "
                                              "finds a page as it was before a remap that returned");

static void bug_cve_2016_2069_switch_against_freed_tables(struct test *t)
{
    storm_run(t, true);
}
TEST(bug_cve_2016_2069_switch_against_freed_tables,
     "CVE-2016-2069, CVE-2025-37964: no switch keeps a translation through tables that an unmap has freed");
