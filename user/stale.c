/* Tries to catch, from ring 3, a translation that is gone: threads on other CPUs keep using pages while this one takes them away, narrows
 * them, gives them back, harvests them. Whatever they see after the call has returned must be what the call says. */
#include "user/lib/atomic.h"
#include "user/lib/check.h"
#include "user/lib/cpu.h"
#include "user/lib/print.h"
#include "user/lib/start.h"
#include "user/lib/thread.h"
#include "user/lib/workload.h"

#define ROUNDS_USUAL   30u
#define OTHERS_AT_MOST 64u
#define SETTLE         2000u /* turns for which a stale entry would have every chance to be used */
#define AREA           0x300000000000ull /* where nothing else maps */
#define LARGE_STEP     0x100000ull       /* half a large page */
#define OLD            0x01d01d01d01d01dull
#define NEW            0x5ec2e75ec2e7ull

static u64 page, others, stop, settle_turns;

/* A line each. */
static struct {
    u64 turns __attribute__((aligned(64)));
    u64 last; /* what it read last */
} self[OTHERS_AT_MOST];

static void settle(void)
{
    for (u64 i = settle_turns; i; i--)
        cpu_pause();
}

/* Both use the page once more after they have been told to stop: where it must fault by then, it does. */
static s64 keep_writing(u64 number)
{
    for (u64 last = 0; !last;) {
        last = atomic_load_relaxed(&stop);
        atomic_fetch_add((u64 *)page, 1);
        atomic_store_relaxed(&self[number].turns, self[number].turns + 1);
        cpu_pause();
    }
    return 0;
}
static s64 keep_reading(u64 number)
{
    for (u64 last = 0; !last;) {
        last = atomic_load_relaxed(&stop);
        u64 found = touch_read(page);
        atomic_store_relaxed(&self[number].last, found);
        atomic_store_relaxed(&self[number].turns, self[number].turns + 1);
        cpu_pause();
    }
    return 0;
}

/* The others, at work on the page: each has used it. False: they could not be started. */
static bool begin(struct thread *t, s64 (*fn)(u64 number))
{
    u64 cpu, cpus = (u64)sys_cpus(0, NULL);
    sys_thread_self(&cpu);
    atomic_store_relaxed(&stop, 0);
    for (u64 i = 0; i < others; i++) {
        self[i].turns = 0;
        s64 e = thread_create(&t[i], fn, i, (cpu + 1 + i) % cpus);
        if (!check(e == 0, "thread %llu: %s", ULL(i), sys_error_name(e)))
            return false; /* the process ends, and those that were started with it */
    }
    for (u64 i = 0; i < others; i++)
        while (atomic_load_relaxed(&self[i].turns) < 3)
            cpu_pause();
    return true;
}

/* Tells the others to stop; they have to end like this. */
static void expect_end(struct thread *t, s64 expected, const char *what)
{
    atomic_store_relaxed(&stop, 1);
    for (u64 i = 0; i < others; i++) {
        s64 status = 0, e = thread_join(&t[i], &status);
        check(e == 0 && status == expected, "%s: thread %llu ended with %lld (%s)", what, ULL(i),
              (long long)status, sys_error_name(e));
    }
}

/* After the page has become read-only, no write reaches it: each writer faults at its next. */
static bool narrowed_rights(void)
{
    struct thread t[OTHERS_AT_MOST];
    if (!begin(t, keep_writing))
        return false;
    s64 e = sys_protect(page, SYS_PAGE, SYS_MAP_READ);
    u64 then = touch_read(page);
    check(e == 0, "read-only: %s", sys_error_name(e));
    settle();
    u64 now = touch_read(page);
    check(now == then, "%llu writes have reached a page after it had become read-only", ULL(now - then));
    expect_end(t, SYS_STATUS_FAULT, "writing to a read-only page");
    e = sys_protect(page, SYS_PAGE, SYS_MAP_WRITE);
    return check(e == 0, "writable again: %s", sys_error_name(e));
}

/* After the page is gone, its memory may be anybody's: here it is given a new owner at once, whose secret no reader of the old page may
 * see. Each reader faults, and the last that it has read is what was there. */
static bool reused_memory(void)
{
    struct thread t[OTHERS_AT_MOST];
    touch_write(page, OLD);
    if (!begin(t, keep_reading))
        return false;
    s64 e = sys_unmap(page, SYS_PAGE);
    check(e == 0, "unmapping: %s", sys_error_name(e));
    s64 fresh = sys_map(0, 8 * SYS_PAGE, SYS_MAP_WRITE);
    for (u64 i = 0; fresh > 0 && i < 8; i++) {
        check(touch_read((u64)fresh + i * SYS_PAGE) == 0, "fresh memory is not empty");
        touch_write((u64)fresh + i * SYS_PAGE, NEW);
    }
    settle();
    expect_end(t, SYS_STATUS_FAULT, "reading an unmapped page");
    for (u64 i = 0; i < others; i++)
        check(self[i].last == OLD, "thread %llu has read %llx through a page that was gone", ULL(i),
              ULL(self[i].last));
    if (check(fresh > 0, "no fresh memory: %s", sys_error_name(fresh)))
        sys_unmap((u64)fresh, 8 * SYS_PAGE);
    e = sys_map(page, SYS_PAGE, SYS_MAP_WRITE | SYS_MAP_FIXED);
    return check(e == (s64)page, "mapping it again: %s", sys_error_name(e));
}

/* After the bits are cleared, the next write sets them again: a writer that still has a dirty entry would go unseen. */
static bool harvested_bits(u64 rounds)
{
    struct thread t[OTHERS_AT_MOST];
    u64 seen[OTHERS_AT_MOST];
    u8 bits = 0;
    if (!begin(t, keep_writing))
        return false;
    for (u64 r = 0; r < rounds; r++) {
        s64 e = sys_harvest(page, SYS_PAGE, &bits);
        check(e == 0, "harvesting: %s", sys_error_name(e));
        for (u64 i = 0; i < others; i++)
            seen[i] = atomic_load_relaxed(&self[i].turns);
        for (u64 i = 0; i < others; i++)
            while (atomic_load_relaxed(&self[i].turns) < seen[i] + 2)
                cpu_pause();
        if (!others)
            atomic_fetch_add((u64 *)page, 1);
        e = sys_harvest(page, SYS_PAGE, &bits);
        check(e == 0 && bits == (SYS_PAGE_PRESENT | SYS_PAGE_ACCESSED | SYS_PAGE_DIRTY),
              "the page was written, and its bits are %x (%s)", bits, sys_error_name(e));
    }
    expect_end(t, 0, "writing to a page that is harvested");
    return true;
}

/* A large page has one dirty bit, which is told for each of its pages and cleared for all. So a call must not look at one twice, wherever
 * the range begins; it looks at 4 MiB at a time. */
static bool harvested_large(void)
{
    static u8 bits[5 * 256];
    s64 at = sys_map(0, 6 * LARGE_STEP, SYS_MAP_WRITE | SYS_MAP_LARGE);
    if (at == -SYS_ERR_NOMEM)
        return true;
    if (!check(at > 0, "no large pages: %s", sys_error_name(at)))
        return false;
    /* Where memory has no such block it is small pages, and each of them is written. */
    for (u64 i = 0; i < 6 * 256; i++)
        touch_write((u64)at + i * SYS_PAGE, NEW);
    s64 e = sys_harvest((u64)at + LARGE_STEP, sizeof(bits) * SYS_PAGE, bits);
    check(e == 0, "harvesting large pages: %s", sys_error_name(e));
    u64 clean = 0;
    for (u64 i = 0; i < sizeof(bits); i++)
        clean += !(bits[i] & SYS_PAGE_DIRTY);
    check(clean == 0, "%llu of %llu pages that were written are not dirty", ULL(clean), ULL(sizeof(bits)));
    sys_unmap((u64)at, 6 * LARGE_STEP);
    return true;
}

/* A page that has moved is not where it was: a fault there, its contents at the new place. */
static bool moved_page(void)
{
    struct thread t[OTHERS_AT_MOST];
    touch_write(page, OLD);
    if (!begin(t, keep_reading))
        return false;
    u64 to = page + 64 * SYS_PAGE;
    s64 e = sys_remap(page, SYS_PAGE, to);
    if (check(e == 0, "moving: %s", sys_error_name(e)))
        touch_write(to, NEW);
    settle();
    expect_end(t, SYS_STATUS_FAULT, "reading where a page was");
    for (u64 i = 0; i < others; i++)
        check(self[i].last == OLD, "thread %llu has read %llx through a page that had moved", ULL(i),
              ULL(self[i].last));
    e = sys_remap(to, SYS_PAGE, page);
    return check(e == 0, "moving back: %s", sys_error_name(e)) &&
           check(touch_read(page) == NEW, "the page has lost its contents on the way");
}

s64 program(u64 arg)
{
    struct workload *w = workload_of(arg);
    u64 rounds = workload_count(w, arg, ROUNDS_USUAL);
    check_begin(w);
    others = workload_threads(w, OTHERS_AT_MOST);
    settle_turns = workload_pauses(SETTLE, 40);
    s64 at = sys_map(AREA, SYS_PAGE, SYS_MAP_WRITE | SYS_MAP_FIXED);
    if (!check(at == (s64)AREA, "no page: %s", sys_error_name(at)))
        return check_end();
    page = (u64)at;
    harvested_large();
    for (u64 r = 0; r < rounds && !workload_stopped(w); r++)
        if (!narrowed_rights() || !reused_memory() || !moved_page() || !harvested_bits(4))
            break;
    say("%llu rounds beside %llu threads", ULL(rounds), ULL(others));
    return check_end();
}
