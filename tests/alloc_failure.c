/* Memory that runs out at every place where it can: each allocation of an operation is refused in turn. The operation then has
 * to say so, to leave things as they were, to succeed when it is tried again, and to have lost no frame. */
#include "kernel/fault_alloc.h"

#include "kernel/thread.h"
#include "lib/atomic.h"
#include "mm/frame.h"
#include "mm/kmap.h"
#include "mm/region.h"
#include "tests/thread_util.h"
#include "tests/user_workload.h"

#define LARGE (1ull << PT_2M)
/* Ends of 2 MiB and 1 GiB: what crosses here needs two tables of each kind. */
#define EDGE      (3 * GIB)
#define PAGES     4u
#define EDGE_LOW  (EDGE - PAGES / 2 * PAGE_SIZE)
#define EDGE_HIGH (EDGE + PAGES / 2 * PAGE_SIZE)
#define SWEEP_MAX 400u /* refusals of one operation: more means that it never gets through */

struct operation {
    const char *name;
    err_t (*run)(void); /* gives back by itself what it got before it failed */
    err_t (*prepare)(void);
    bool (*as_before)(
        void);          /* is everything as it was before `run`, which has failed? NULL: nothing to look at */
    void (*undo)(void); /* what `prepare` and a successful `run` have made */
    bool copes;         /* it may also get through with one allocation less */
};

static struct space *space, *copy;
static u64 charged;

static err_t prepare_space(void)
{
    err_t e = space_create(&space);
    charged = e == ERR_OK ? space->frames : 0;
    return e;
}

static void undo_space(void)
{
    if (!space)
        return;
    region_destroy_all(space);
    space_destroy(space);
    space = NULL;
}

static err_t prepare_region(enum pt_size size)
{
    vaddr_t at;
    err_t e = prepare_space();
    if (e == ERR_OK)
        e = region_map(space, EDGE - LARGE, 2 * LARGE, PT_WRITE | PT_USER, REGION_ZERO, size, &at);
    charged = e == ERR_OK ? space->frames : 0;
    return e;
}

static err_t prepare_small(void)
{
    return prepare_region(PT_4K);
}

static err_t prepare_empty(void)
{
    return prepare_region(PT_2M);
}

static err_t prepare_large(void)
{
    err_t e = prepare_region(PT_2M);
    if (e == ERR_OK)
        e = region_populate(space, EDGE - LARGE, EDGE + LARGE);
    charged = e == ERR_OK ? space->frames : 0;
    return e;
}

static err_t prepare_pages(void)
{
    err_t e = prepare_small();
    return e == ERR_OK ? region_populate(space, EDGE_LOW, EDGE_HIGH) : e;
}

static bool nothing_mapped(void)
{
    for (vaddr_t va = EDGE_LOW; va < EDGE_HIGH; va += PAGE_SIZE)
        if (space_query(space, va).present)
            return false;
    return true;
}

/* Tables that were made for a mapping that then failed may stay; leaves may not be counted. */
static bool nothing_mapped_or_charged(void)
{
    return nothing_mapped() && space->frames <= charged + 6;
}

static bool large_pages_whole(void)
{
    struct pt_entry low = space_query(space, EDGE - PAGE_SIZE), high = space_query(space, EDGE);
    return low.present && low.size == PT_2M && (low.prot & PT_WRITE) && high.present && high.size == PT_2M &&
           (high.prot & PT_WRITE) && space->frames == charged;
}

/* ---- the operations ---- */

static err_t run_space(void)
{
    return space_create(&space);
}

static err_t run_map_fresh(void)
{
    return space_map_fresh(space, EDGE_LOW, PAGES, PT_WRITE | PT_USER, FRAME_OWNER_TEST);
}

static err_t run_map_range(void)
{
    /* Not its own, and never accessed: whose memory it is does not matter. */
    return space_map(space, EDGE_LOW, PADDR(0), PAGES * PAGE_SIZE, PT_4K, PT_USER);
}

static err_t run_region_map(void)
{
    vaddr_t at;
    return region_map(space, EDGE_LOW, PAGES * PAGE_SIZE, PT_WRITE | PT_USER, REGION_ZERO, PT_4K, &at);
}

static err_t run_populate(void)
{
    return region_populate(space, EDGE_LOW, EDGE_HIGH);
}

static err_t run_populate_large(void)
{
    return region_populate(space, EDGE - LARGE, EDGE + LARGE);
}

static err_t run_fault(void)
{
    struct fault_access write = {.write = true, .user = true};
    return region_fault(space, EDGE, write) == FAULT_RETRY ? ERR_OK : ERR_NOMEM;
}

static err_t run_space_unmap(void)
{
    return space_unmap(space, EDGE_LOW, EDGE_HIGH);
}

static err_t run_region_unmap(void)
{
    return region_unmap(space, EDGE_LOW, EDGE_HIGH);
}

static err_t run_protect(void)
{
    return region_protect(space, EDGE_LOW, EDGE_HIGH, PT_USER);
}

static err_t run_discard(void)
{
    return region_discard(space, EDGE_LOW, EDGE_HIGH);
}

static err_t run_move(void)
{
    return region_move(space, EDGE_LOW, PAGES * PAGE_SIZE, EDGE + 5 * GIB - PAGE_SIZE);
}

static bool not_moved(void)
{
    return space_query(space, EDGE_LOW).present && space_query(space, EDGE_HIGH - PAGE_SIZE).present &&
           !space_query(space, EDGE + 5 * GIB).present;
}

static void undo_copy(void)
{
    struct space *from = space;
    if (copy) {
        space = copy;
        undo_space();
        copy = NULL;
    }
    space = from;
}

static err_t run_clone(void)
{
    err_t e = space_create(&copy);
    if (e != ERR_OK) {
        copy = NULL;
        return e;
    }
    e = region_clone(space, copy);
    if (e != ERR_OK)
        undo_copy();
    return e;
}

static void undo_clone(void)
{
    undo_copy();
    undo_space();
}

static bool pages_still_there(void)
{
    return space_query(space, EDGE_LOW).present && space_query(space, EDGE_HIGH - PAGE_SIZE).present;
}

static err_t prepare_clone(void)
{
    err_t e = prepare_pages();
    return e == ERR_OK ? run_clone() : e;
}

static void *pages;

static err_t run_kmap(void)
{
    pages = kmap_pages(PAGES, FRAME_OWNER_TEST);
    return pages ? ERR_OK : ERR_NOMEM;
}

static void undo_kmap(void)
{
    if (pages)
        kmap_free_pages(pages, PAGES);
    pages = NULL;
}

static u32 ran;

static void count_run(void *arg)
{
    (void)arg;
    atomic_fetch_add(&ran, 1);
}

static err_t run_thread(void)
{
    struct thread *t;
    u32 before = atomic_load_relaxed(&ran);
    err_t e = thread_create(cpu_self(), "alloc_failure", count_run, NULL, &t);
    if (e != ERR_OK)
        return e;
    thread_start(t);
    return wait_until_u32(&ran, before + 1) ? ERR_OK : ERR_TIMEOUT;
}

#define PROGRAM "churn"

static struct process *process;

/* Its thread cannot run before the process is killed: it is this CPU's. So nothing else allocates. */
static err_t run_process(void)
{
    thread_handle_t h;
    err_t e = process_create(PROGRAM, &process);
    if (e != ERR_OK)
        return e;
    e = process_start(process, cpu_self(), 0, &h);
    if (e == ERR_OK)
        process_kill(process);
    err_t ended = process_wait(process, THREAD_TEST_MS, NULL);
    process_unref(process);
    return e != ERR_OK ? e : ended;
}

static err_t prepare_process(void)
{
    return process_create(PROGRAM, &process);
}

static err_t run_process_clone(void)
{
    struct process *second;
    err_t e = process_clone(process, &second);
    if (e == ERR_OK)
        process_unref(second);
    return e;
}

static void undo_process(void)
{
    process_unref(process);
}

/* ---- the sweep ---- */

static u64 free_frames(void)
{
    thread_trim();
    shootdown_settle(NULL, 0);
    return frame_stats().free;
}

static bool one_refusal(struct test *t, const struct operation *o, u64 n)
{
    u32 threads = thread_count();
    u64 before = free_frames();
    err_t e = o->prepare ? o->prepare() : ERR_OK;
    if (!CHECK(t, e == ERR_OK, "%s: the preparation failed: %s", o->name, err_name(e)))
        return false;
    fault_alloc_arm(n);
    e = o->run();
    bool refused = fault_alloc_disarm();
    bool failed = e == ERR_NOMEM || e == ERR_FULL;
    bool right = refused ? failed || (o->copes && e == ERR_OK) : e == ERR_OK;
    if (!CHECK(t, right, "%s: allocation %llu %s, and it ended with: %s", o->name, (unsigned long long)n,
               refused ? "was refused" : "was not reached", err_name(e)) &&
        refused)
        fault_alloc_report();
    if (failed) {
        if (o->as_before)
            CHECK(t, o->as_before(), "%s: failed at allocation %llu, but has changed something", o->name,
                  (unsigned long long)n);
        e = o->run();
        CHECK(t, e == ERR_OK, "%s: again, after allocation %llu failed: %s", o->name, (unsigned long long)n,
              err_name(e));
    }
    if (o->undo)
        o->undo();
    CHECK(t, wait_until_gone(threads), "%s: a thread is left", o->name);
    u64 after = free_frames();
    CHECK(t, after == before, "%s: allocation %llu was refused, and %lld frames were lost", o->name,
          (unsigned long long)n, (long long)before - (long long)after);
    return refused && after == before;
}

static void sweep(struct test *t, const struct operation *operations, u32 count)
{
    u64 total = 0;
    fault_alloc_begin();
    for (u32 i = 0; i < count; i++) {
        u64 n = 1;
        while (n < SWEEP_MAX && one_refusal(t, &operations[i], n))
            n++;
        CHECK(t, n > 1 && n < SWEEP_MAX, "%s: %llu allocations were refused", operations[i].name,
              (unsigned long long)n - 1);
        total += n - 1;
    }
    fault_alloc_end();
    test_note(t, "%llu refusals in %u operations", (unsigned long long)total, count);
}

static void alloc_failure_space(struct test *t)
{
    static const struct operation operations[] = {
        {"space_create", run_space, .undo = undo_space},
        {"space_map_fresh", run_map_fresh, .prepare = prepare_space, .as_before = nothing_mapped_or_charged,
         .undo = undo_space},
        {"space_map", run_map_range, .prepare = prepare_space, .as_before = nothing_mapped_or_charged,
         .undo = undo_space},
        {"space_unmap that splits", run_space_unmap, .prepare = prepare_large, .as_before = large_pages_whole,
         .undo = undo_space},
        {"kmap_pages", run_kmap, .undo = undo_kmap},
    };
    sweep(t, operations, ARRAY_SIZE(operations));
}
TEST(alloc_failure_space,
     "spaces and their pages: every allocation refused in turn; an error, nothing changed, nothing lost");

static void alloc_failure_region(struct test *t)
{
    static const struct operation operations[] = {
        {"region_map", run_region_map, .prepare = prepare_space, .undo = undo_space},
        {"region_populate", run_populate, .prepare = prepare_small, .undo = undo_space},
        {"region_populate with 2 MiB pages", run_populate_large, .prepare = prepare_empty, .undo = undo_space,
         .copes = true},
        {"region_fault", run_fault, .prepare = prepare_small, .as_before = nothing_mapped,
         .undo = undo_space},
        {"region_fault that copies", run_fault, .prepare = prepare_clone, .as_before = pages_still_there,
         .undo = undo_clone},
        {"region_unmap that splits", run_region_unmap, .prepare = prepare_large,
         .as_before = large_pages_whole, .undo = undo_space},
        {"region_protect that splits", run_protect, .prepare = prepare_large, .as_before = large_pages_whole,
         .undo = undo_space},
        {"region_discard that splits", run_discard, .prepare = prepare_large, .as_before = large_pages_whole,
         .undo = undo_space},
        {"region_move", run_move, .prepare = prepare_pages, .as_before = not_moved, .undo = undo_space},
        {"region_clone", run_clone, .prepare = prepare_pages, .as_before = pages_still_there,
         .undo = undo_clone},
    };
    sweep(t, operations, ARRAY_SIZE(operations));
}
TEST(alloc_failure_region,
     "regions: every allocation refused in turn; an error, nothing changed, nothing lost");

static void alloc_failure_thread(struct test *t)
{
    static const struct operation operations[] = {
        {"thread_create", run_thread, .copes = false},
        {"a process and its thread", run_process, .copes = false},
        {"process_clone", run_process_clone, .prepare = prepare_process, .undo = undo_process},
    };
    sweep(t, operations, ARRAY_SIZE(operations));
}
TEST(alloc_failure_thread, "threads and processes: every allocation refused in turn; an error, nothing lost");

#define RING3_MS    10u /* far more than the program takes, scaled */
#define RING3_SWEEP 40u
#define READERS     test_rounds(8, 4)

/* Ring 3 meets the refusal itself, in a fault or a system call: the program may fail, the kernel may not. */
static void alloc_failure_ring3(struct test *t)
{
    u32 suffered = 0, n;
    bool refused = true;
    fault_alloc_begin();
    for (n = 1; refused && n <= RING3_SWEEP; n++) {
        struct user_run r;
        u32 threads = thread_count();
        u64 before = free_frames();
        if (!user_open(t, &r, PROGRAM))
            break;
        r.w->count = 1;
        r.w->threads = MIN(cpu_online_count() - 1, READERS);
        thread_handle_t h;
        fault_alloc_arm(n);
        err_t e = process_start(r.process, cpu_self(), WORKLOAD_VA, &h);
        /* If its first thread has died, the others may go on for ever. */
        if (e == ERR_OK && process_wait(r.process, RING3_MS, NULL) != ERR_OK)
            process_kill(r.process);
        if (e == ERR_OK)
            user_wait(t, &r);
        refused = fault_alloc_disarm();
        CHECK(t, e == ERR_OK || (refused && (e == ERR_NOMEM || e == ERR_FULL)), "process_start: %s",
              err_name(e));
        suffered += refused && (e != ERR_OK || r.status != 0 || r.w->verdict.failures);
        user_close(&r);
        CHECK(t, wait_until_gone(threads), "a thread is left");
        u64 after = free_frames();
        CHECK(t, after == before, "allocation %u was refused, and %lld frames were lost", n,
              (long long)before - (long long)after);
    }
    fault_alloc_end();
    CHECK(t, suffered > 0, "no refusal was noticed in ring 3");
    test_note(t, "%u runs, %u of them were told", n - 1, suffered);
}
TEST(alloc_failure_ring3, "a program that lacks memory anywhere: it may fail, the kernel loses nothing");
