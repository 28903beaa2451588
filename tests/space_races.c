/* Races between a change and a CPU that loads or leaves the space, played in the order in which other kernels lost them. Each
 * is a bug that was found in the wild; the stop points (kernel/stop_point.h) hold the CPUs where it takes. */
#include "kernel/stop_point.h"
#include "kernel/trap.h"
#include "kernel/worker.h"
#include "lib/context.h"
#include "lib/features.h"
#include "mm/frame.h"
#include "mm/respond.h"
#include "smp/cpus.h"
#include "tests/flag.h"
#include "tests/observer.h"
#include "tests/residents.h"
#include "tests/window.h"

#define RACE_MS 5000u
#define OLD     0x01d01d01d01d01d0ull

static struct race {
    struct space *space;
    u32 loaded, go, unmapped;
    bool used; /* the page was there, with its content, before the change */
    int after; /* vector of the read after the change; 0: the page was still there */
} race;

/* Caches the page's translation, leaves as `how` says, waits, comes back, and reads once more. */
static void switcher(bool borrow)
{
    u64 v = 0;
    preempt_disable();
    space_load(race.space);
    race.used = safe_read_u64((void *)RESIDENTS_FREE_VA, &v) == 0 && v == OLD;
    if (borrow)
        space_borrow();
    else
        space_load(NULL);
    flag_raise(&race.loaded);
    (void)flag_wait(&race.go, RACE_MS);
    space_load(race.space);
    race.after = safe_read_u64((void *)RESIDENTS_FREE_VA, &v);
    space_load(NULL);
    preempt_enable();
}
static void leave_and_return(void *arg)
{
    (void)arg;
    switcher(false);
}
static void borrow_and_return(void *arg)
{
    (void)arg;
    switcher(true);
}

static void unmap_main(void *arg)
{
    (void)arg;
    err_t e = space_unmap(race.space, RESIDENTS_FREE_VA, RESIDENTS_FREE_VA + PAGE_SIZE);
    atomic_store_relaxed(&race.unmapped, e == ERR_OK ? 1 : 2);
}

/* CPU 1 switches, CPU 2 changes; this one directs. CPU_NONE if there are not as many. */
static cpu_t the_switcher(void)
{
    return cpumask_next(&cpus_online, 1);
}
static cpu_t the_initiator(void)
{
    return the_switcher() == CPU_NONE ? CPU_NONE : cpumask_next(&cpus_online, the_switcher() + 1);
}

static bool race_begin(struct test *t, void (*main)(void *arg))
{
    if (the_initiator() == CPU_NONE) {
        test_skip(t, "needs 3 CPUs");
        return false;
    }
    race = (struct race){0};
    if (!CHECK(t, space_create(&race.space) == ERR_OK, "no space"))
        return false;
    err_t e = space_map_fresh(race.space, TEST_USER_VA, 2, PT_WRITE, FRAME_OWNER_TEST);
    if (!CHECK(t, e == ERR_OK, "map: %s", err_name(e)) ||
        !CHECK(t, stop_begin() == ERR_OK, "no stop points")) {
        space_destroy(race.space);
        return false;
    }
    observe_fill(space_query(race.space, RESIDENTS_FREE_VA).pa, OLD);
    CHECK(t, worker_start(the_switcher(), main, NULL) == ERR_OK, "CPU %u is at other work", the_switcher());
    CHECK(t, flag_wait(&race.loaded, RACE_MS), "CPU %u does not load the space", the_switcher());
    return true;
}

static void start_unmap(struct test *t)
{
    CHECK(t, worker_start(the_initiator(), unmap_main, NULL) == ERR_OK, "CPU %u is at other work",
          the_initiator());
}

static void race_end(struct test *t)
{
    CHECK(t, stop_end(), "%s", stop_why());
    CHECK(t, worker_wait(the_initiator(), 2 * RACE_MS) == ERR_OK, "CPU %u does not end", the_initiator());
    CHECK(t, worker_wait(the_switcher(), 2 * RACE_MS) == ERR_OK, "CPU %u does not end", the_switcher());
    CHECK(t, atomic_load_relaxed(&race.unmapped) == 1, "the unmap failed");
    CHECK(t, race.used, "the page was not there before the change");
    CHECK(t, race.after == EXC_PAGE_FAULT,
          "after the change the page gave vector %d, not #PF: it is still cached", race.after);
    space_destroy(race.space);
}

/* The loader has read the generation, and then the change is made, and its interrupt sent, before the root is loaded. The
 * initiator must count it as a target: it cannot have flushed for what it has not read. */
static void bug_cve_2025_37964(struct test *t)
{
    if (!race_begin(t, leave_and_return))
        return;
    cpu_t loader = the_switcher(), initiator = the_initiator();
    stop_hold(STOP_GEN_READ, loader);
    flag_raise(&race.go);
    CHECK(t, stop_wait_held(STOP_GEN_READ, loader), "CPU %u does not load", loader);
    stop_hold(STOP_WAIT, initiator);
    start_unmap(t);
    CHECK(t, stop_wait_held(STOP_WAIT, initiator), "CPU %u does not get to its wait", initiator);
    stop_release(STOP_WAIT, initiator);
    for (u32 turns = 0; turns < 2000; turns++)
        cpu_pause();
    CHECK(t, !atomic_load_relaxed(&race.unmapped),
          "the unmap returned while CPU %u, which is loading the space, had not been told", loader);
    stop_release(STOP_GEN_READ, loader);
    race_end(t);
}
TEST(bug_cve_2025_37964,
     "CVE-2025-37964: a CPU in the middle of a switch to the space is told, and waited for");

/* The change is made, and its generation raised, while the CPU is away; held before anybody is told. The CPU comes back in that
 * window: what it kept, by PCID or as a borrowed root, must not count. */
static void return_in_window(struct test *t, void (*main)(void *arg))
{
    if (!race_begin(t, main))
        return;
    cpu_t initiator = the_initiator();
    stop_hold(STOP_UNLOCKED, initiator);
    start_unmap(t);
    CHECK(t, stop_wait_held(STOP_UNLOCKED, initiator), "CPU %u does not get there", initiator);
    flag_raise(&race.go);
    CHECK(t, worker_wait(the_switcher(), RACE_MS) == ERR_OK, "CPU %u does not come back", the_switcher());
    stop_release(STOP_UNLOCKED, initiator);
    race_end(t);
}
static void bug_freebsd_en_22_04(struct test *t)
{
    return_in_window(t, leave_and_return);
    if (!features.pcid)
        test_note(t, "no PCIDs here: a load of CR3 flushes whatever it is told to keep");
}
TEST(bug_freebsd_en_22_04,
     "FreeBSD EN-22:04: a space that comes back between a change and its messages does not keep its entries");
static void bug_lazy_return_in_window(struct test *t)
{
    return_in_window(t, borrow_and_return);
}
TEST(bug_lazy_return_in_window,
     "the same for a root that was only borrowed: no load of CR3 flushes by itself there");

/* The CPU leaves: its next root is loaded, and only then its bit goes. Held in between, it is still a target: OpenBSD cleared the
 * bit first, and skipped CPUs that still read. */
static void bug_openbsd_early_pm_cpus(struct test *t)
{
    if (!race_begin(t, leave_and_return))
        return;
    cpu_t leaver = the_switcher();
    flag_raise(&race.go);
    /* Its last act is to load the kernel's root. */
    stop_hold(STOP_LOADED, leaver);
    CHECK(t, stop_wait_held(STOP_LOADED, leaver), "CPU %u does not come by", leaver);
    CHECK(t, cpumask_test_relaxed(&race.space->active, leaver),
          "its bit is clear at the first switch, with the space just loaded");
    stop_hold(STOP_SWITCHING, leaver);
    stop_release(STOP_LOADED, leaver);
    CHECK(t, stop_wait_held(STOP_SWITCHING, leaver), "CPU %u does not leave", leaver);
    stop_hold(STOP_LOADED, leaver);
    stop_release(STOP_SWITCHING, leaver);
    CHECK(t, stop_wait_held(STOP_LOADED, leaver), "CPU %u does not leave", leaver);
    CHECK(t,
          cpumask_test_relaxed(&race.space->active, leaver) &&
              cpumask_test_relaxed(&race.space->loaded, leaver),
          "CPU %u has cleared its bits before it was known to have left", leaver);
    stop_release(STOP_LOADED, leaver);
    race.after = EXC_PAGE_FAULT; /* it read before the change here; what counts was checked above */
    CHECK(t, worker_wait(leaver, 2 * RACE_MS) == ERR_OK, "CPU %u does not end", leaver);
    CHECK(t, !cpumask_test_relaxed(&race.space->loaded, leaver), "it left, and is still in the mask");
    race.after = EXC_PAGE_FAULT;
    start_unmap(t);
    race_end(t);
}
TEST(bug_openbsd_early_pm_cpus, "OpenBSD: a CPU leaves the masks only when the next root is loaded");
