/* Regions on the machine as it is: what faults bring in, what runs out, and what giving a page back costs. Their bookkeeping is
 * tested on the host, against a model (tests/host/region_random_test.c); the bugs of others in tests/region_bugs.c. */
#include "mm/region.h"

#include "kernel/emulator.h"
#include "kernel/trap.h"
#include "kernel/worker.h"
#include "lib/context.h"
#include "lib/wait.h"
#include "mm/frame.h"
#include "tests/residents.h"
#include "tests/window.h"

#define REGION_MS 20000u
#define PAGES     64u
#define LARGE     (1ull << PT_2M)
/* Far from the residents' page: 2 MiB aligned, a page directory of its own. */
#define REGION_VA  (TEST_USER_VA - TEST_USER_VA % LARGE + 64 * GIB)
#define WRITE_HERE ((struct fault_access){.write = true})

static void make_region(struct test *t, struct space *s, vaddr_t va, u64 bytes, enum pt_size size)
{
    vaddr_t at;
    err_t e = region_map(s, va, bytes, PT_WRITE, REGION_ZERO, size, &at);
    CHECK(t, e == ERR_OK && at == va, "region_map: %s", err_name(e));
}

/* Shared pages go by a ticket for each table. A program may have most of the address space with a page here and there, and copies of it: what
 * is empty must cost nothing, or the end of such a program takes minutes (found by tests/fuzz/syscall.c). Half of it would be 2^25 tickets,
 * at whatever speed: the runner's limit is hit. */
static void region_huge_copy_goes(struct test *t)
{
    const u64 bytes = 64ull << 40;
    struct space *s, *copy;
    REQUIRE(t, space_create(&s) == ERR_OK, "no memory for a space");
    if (CHECK(t, space_create(&copy) == ERR_OK, "no memory for a copy")) {
        make_region(t, s, REGION_VA, bytes, PT_4K);
        for (u32 i = 0; i < 3; i++)
            CHECK(t,
                  region_fault(s, REGION_VA + i * (bytes / 3 & ~(PAGE_SIZE - 1)), WRITE_HERE) == FAULT_RETRY,
                  "page %u does not come in", i);
        CHECK(t, region_clone(s, copy) == ERR_OK, "the copy cannot be made");
        CHECK(t, region_discard(s, REGION_VA, REGION_VA + bytes) == ERR_OK, "its pages cannot be given back");
        CHECK(t, !space_query(s, REGION_VA).present && space_query(copy, REGION_VA).present,
              "the copy keeps what the other one gives back");
        region_destroy_all(copy);
        space_destroy(copy);
    }
    region_destroy_all(s);
    space_destroy(s);
}
TEST(region_huge_copy_goes,
     "copies of a region of 64 TiB with three pages are discarded and unmapped at once");

/* Every CPU faults on the same pages at the same time, and writes its own word into each. */
static struct race {
    struct space *space;
    u32 arrived, cpus;
    u32 wrong[MAX_CPUS];
} race;

static void race_main(void *arg)
{
    (void)arg;
    preempt_disable();
    space_load(race.space);
    preempt_enable();
    cpu_t self = cpu_self();
    for (u32 i = 0; i < PAGES; i++) {
        vaddr_t va = REGION_VA + i * PAGE_SIZE + self * sizeof(u64);
        atomic_fetch_add(&race.arrived, 1);
        struct wait w = WAIT("all CPUs at the page", wait_ms(REGION_MS));
        while (atomic_load_relaxed(&race.arrived) < (i + 1) * race.cpus && wait_spin(&w))
            ;
        race.wrong[self] += region_fault(race.space, va, WRITE_HERE) != FAULT_RETRY;
        race.wrong[self] += safe_write_u64((void *)va, self + 1) != 0;
    }
    preempt_disable();
    space_load(NULL);
    preempt_enable();
}

static void region_fault_race(struct test *t)
{
    REQUIRE(t, space_create(&race.space) == ERR_OK, "no space");
    race.arrived = 0;
    race.cpus = cpu_online_count();
    make_region(t, race.space, REGION_VA, PAGES * PAGE_SIZE, PT_4K);
    CPUMASK_FOREACH (c, &cpus_online) {
        race.wrong[c] = 0;
        if (c != cpu_self())
            CHECK(t, worker_start(c, race_main, NULL) == ERR_OK, "CPU %u is at other work", c);
    }
    race_main(NULL);
    CPUMASK_FOREACH (c, &cpus_online) {
        if (c != cpu_self())
            CHECK(t, worker_wait(c, REGION_MS) == ERR_OK, "CPU %u is stuck", c);
        CHECK(t, !race.wrong[c], "CPU %u: %u accesses were refused", c, race.wrong[c]);
    }
    /* One frame for each, with the words of all: a second frame would have lost some. */
    for (u32 i = 0; i < PAGES; i++) {
        const u64 *word = phys_to_virt(space_query(race.space, REGION_VA + i * PAGE_SIZE).pa);
        CPUMASK_FOREACH (c, &cpus_online)
            CHECK(t, atomic_load_relaxed(&word[c]) == c + 1, "page %u lost the word of CPU %u", i, c);
    }
    CHECK(t, race.space->frames == PAGES + 3, "%llu frames are charged, for %u pages and 3 tables",
          (unsigned long long)race.space->frames, PAGES);
    region_destroy_all(race.space);
    space_destroy(race.space);
}
TEST(region_fault_race, "all CPUs fault on the same page: one frame enters, none is lost");

static void region_limits(struct test *t)
{
    struct space *s;
    vaddr_t at;
    REQUIRE(t, space_create(&s) == ERR_OK, "no space");
    make_region(t, s, REGION_VA, 2 * LARGE, PT_2M);
    /* Three tables and some pages, but no 2 MiB: small pages it is, until the limit. */
    s->frames_max = 40;
    u32 in = 0;
    enum fault_result r;
    while ((r = region_fault(s, REGION_VA + in * PAGE_SIZE, WRITE_HERE)) == FAULT_RETRY && in < 100)
        in++;
    CHECK(t, r == FAULT_NOMEM && in == 37 && s->frames == 40, "%u pages came in, %llu frames", in,
          (unsigned long long)s->frames);
    CHECK(t, region_populate(s, REGION_VA, REGION_VA + LARGE) == ERR_NOMEM, "populated above the limit");
    CHECK(t, region_discard(s, REGION_VA, REGION_VA + LARGE) == ERR_OK && s->frames == 3,
          "%llu frames after the discard", (unsigned long long)s->frames);
    s->frames_max = 3 + 512 + 512;
    r = region_fault(s, REGION_VA + LARGE + 5, WRITE_HERE);
    CHECK(t, r == FAULT_RETRY && space_query(s, REGION_VA + LARGE).size == PT_2M && s->frames == 2 + 1 + 512,
          "a large page: %d, %llu frames", r, (unsigned long long)s->frames);
    CHECK(t, region_unmap(s, REGION_VA, REGION_VA + 2 * LARGE) == ERR_OK && s->frames == 0,
          "%llu frames at the end", (unsigned long long)s->frames);

    u32 n = 0;
    err_t e;
    while ((e = region_map(s, REGION_VA + 2 * n * PAGE_SIZE, PAGE_SIZE, 0, REGION_ZERO, PT_4K, &at)) ==
           ERR_OK)
        n++;
    CHECK(t, e == ERR_FULL && n == REGIONS_MAX, "after %u regions: %s", n, err_name(e));
    e = region_map(s, 0, PAGE_SIZE, 0, REGION_ZERO, PT_4K, &at);
    CHECK(t, e == ERR_FULL, "one more: %s", err_name(e));
    e = region_fault(s, REGION_VA, WRITE_HERE) == FAULT_REFUSED ? ERR_OK : ERR_FAULT;
    CHECK(t, e == ERR_OK, "a write where only reading is allowed was explained");
    region_destroy_all(s);
    space_destroy(s);
}
TEST(region_limits, "frames_max and REGIONS_MAX end in errors of their own, and nothing is lost");

/* 1 GiB pages of a fixed region: protect splits what it must, and nothing more. */
static void region_huge(struct test *t)
{
    struct space *s;
    vaddr_t va = REGION_VA - REGION_VA % GIB, at;
    REQUIRE(t, space_create(&s) == ERR_OK, "no space");
    err_t e = region_map(s, va, GIB, PT_WRITE, REGION_FIXED, PT_4K, &at);
    CHECK(t, e == ERR_OK, "region: %s", err_name(e));
    e = space_map(s, va, PADDR(0), GIB, PT_1G, PT_WRITE);
    CHECK(t, e == ERR_OK, "map: %s", err_name(e));
    enum pt_size size = space_query(s, va).size;
    e = region_protect(s, va + LARGE, va + LARGE + PAGE_SIZE, PT_READ);
    CHECK(t, e == ERR_OK, "protect: %s", err_name(e));
    CHECK(t,
          space_query(s, va).size == PT_2M && space_query(s, va + LARGE).size == PT_4K &&
              !(space_query(s, va + LARGE).prot & PT_WRITE) &&
              (space_query(s, va + LARGE + PAGE_SIZE).prot & PT_WRITE),
          "the pages around are of 2^%u and 2^%u bytes", space_query(s, va).size,
          space_query(s, va + LARGE).size);
    e = region_protect(s, va + LARGE, va + LARGE + PAGE_SIZE, PT_WRITE);
    CHECK(t, e == ERR_INVAL, "a fixed page got back what it had lost: %s", err_name(e));
    CHECK(t, region_discard(s, va, va + LARGE) == ERR_INVAL, "memory of somebody else's was given away");
    region_destroy_all(s);
    CHECK(t, s->frames == 0, "%llu frames at the end", (unsigned long long)s->frames);
    space_destroy(s);
    test_note(t, "the largest page was of 2^%u bytes", size);
}
TEST(region_huge, "pages of 1 GiB in a fixed region are split by protect, and gain no right");

/* docs/memory-map.md, "What a space costs". */
static void region_memory(struct test *t)
{
    u64 bytes = sizeof(struct space) + cpu_count() * sizeof(struct tlb_cpu), descriptor = 1;
    struct space *s;
    vaddr_t at;
    while (descriptor * PAGE_SIZE < bytes)
        descriptor *= 2;
    frame_drain_cache();
    u64 before = frame_stats().free;
    REQUIRE(t, space_create(&s) == ERR_OK, "no space");
    u64 empty = before - frame_stats().free;
    CHECK(t, empty == descriptor + 1 || empty == descriptor + 2, "a space costs %llu frames",
          (unsigned long long)empty);
    CHECK(t, region_map(s, REGION_VA, PAGE_SIZE, PT_WRITE, REGION_ZERO, PT_4K, &at) == ERR_OK, "no region");
    CHECK(t, before - frame_stats().free == empty + 1, "the first region costs %llu frames",
          (unsigned long long)(before - frame_stats().free - empty));
    CHECK(t, region_map(s, 0, PAGE_SIZE, PT_WRITE, REGION_ZERO, PT_4K, &at) == ERR_OK, "no region");
    CHECK(t, before - frame_stats().free == empty + 1, "the second region costs something");
    CHECK(t, region_fault(s, REGION_VA, WRITE_HERE) == FAULT_RETRY, "no page");
    CHECK(t, before - frame_stats().free == empty + 1 + s->frames && s->frames == 4,
          "a page and its tables: %llu frames, and %llu are charged",
          (unsigned long long)(before - frame_stats().free - empty - 1), (unsigned long long)s->frames);
    region_destroy_all(s);
    space_destroy(s);
    CHECK(t, frame_stats().free == before, "%lld frames are missing",
          (long long)(before - frame_stats().free));
    test_note(t, "%llu frames for a space, 1 for its regions", (unsigned long long)empty);
}
TEST(region_memory, "a space costs the kernel what the documentation says, and gives all of it back");

/* Copies of copies, written in turns: each finds its own. */
static void region_copies(struct test *t)
{
    enum { COPIES = 5 };
    struct space *s[COPIES] = {NULL};
    REQUIRE(t, space_create(&s[0]) == ERR_OK, "no space");
    make_region(t, s[0], REGION_VA, 2 * LARGE, PT_2M);
    preempt_disable();
    space_load(s[0]);
    preempt_enable();
    region_fault(s[0], REGION_VA, WRITE_HERE);
    region_fault(s[0], REGION_VA + LARGE, WRITE_HERE);
    safe_write_u64((void *)REGION_VA, 100);
    u32 n = 1;
    for (; n < COPIES; n++) {
        REQUIRE(t, space_create(&s[n]) == ERR_OK, "no space");
        err_t e = region_clone(s[n - 1], s[n]);
        CHECK(t, e == ERR_OK, "copy %u: %s", n, err_name(e));
    }
    CHECK(t, space_query(s[0], REGION_VA).pa.v == space_query(s[COPIES - 1], REGION_VA).pa.v,
          "the frame is not shared");
    for (u32 i = COPIES; i--;) {
        u64 v = 0;
        preempt_disable();
        space_load(s[i]);
        preempt_enable();
        CHECK(t, safe_read_u64((void *)REGION_VA, &v) == 0 && v == 100, "copy %u finds %llu", i,
              (unsigned long long)v);
        CHECK(t, safe_write_u64((void *)REGION_VA, 1) != 0, "copy %u writes to what it shares", i);
        region_fault(s[i], REGION_VA, WRITE_HERE);
        CHECK(t, safe_write_u64((void *)REGION_VA, 200 + i) == 0, "copy %u cannot write", i);
    }
    for (u32 i = 0; i < COPIES; i++) {
        const u64 *word = phys_to_virt(space_query(s[i], REGION_VA).pa);
        CHECK(t, *word == 200 + i, "copy %u holds %llu", i, (unsigned long long)*word);
    }
    preempt_disable();
    space_load(NULL);
    preempt_enable();
    for (u32 i = 0; i < COPIES; i++) {
        region_destroy_all(s[i]);
        space_destroy(s[i]);
    }
}
TEST(region_copies, "copies of copies share frames until they write, and each then finds its own");

/* ---- what the hot path costs ---- */

#define ROUNDS 48u
/* Ticks of Bochs, so that a system call that gives a page back stays below 800 with three responders in ring 3. */
#define ALONE_GOAL     490u
#define RESPONDER_GOAL 250u /* more */

static u64 median_discard(struct test *t, struct space *s)
{
    u64 ticks[ROUNDS] = {0};
    for (u32 i = 0; i < ROUNDS; i++) {
        CHECK(t, region_fault(s, RESIDENTS_FREE_VA, WRITE_HERE) == FAULT_RETRY, "no page");
        safe_write_u64((void *)RESIDENTS_FREE_VA, i);
        u64 start = rdtsc();
        err_t e = region_discard(s, RESIDENTS_FREE_VA, RESIDENTS_FREE_VA + PAGE_SIZE);
        u64 took = rdtsc() - start, v;
        CHECK(t, e == ERR_OK && safe_read_u64((void *)RESIDENTS_FREE_VA, &v) != 0, "the page is still there");
        u32 at = i;
        for (; at && ticks[at - 1] > took; at--)
            ticks[at] = ticks[at - 1];
        ticks[at] = took;
    }
    return ticks[ROUNDS / 2];
}

static u64 discard_price(struct test *t, bool with_others)
{
    struct residents r;
    u64 ticks = 0;
    if (with_others ? residents_enter(t, &r) : residents_enter_alone(t, &r)) {
        make_region(t, r.space, RESIDENTS_FREE_VA, PAGE_SIZE, PT_4K);
        ticks = median_discard(t, r.space);
        region_destroy_all(r.space);
    }
    residents_leave(t, &r);
    return ticks;
}

static void region_discard_price(struct test *t)
{
    const struct shootdown_policy *before;
    REQUIRE(t, policy_use(t, "early_ack", &before), "no early_ack");
    u64 alone = discard_price(t, false), with_others = discard_price(t, true);
    policy_restore(t, before);
    test_note(t, "%llu ticks alone, %llu with %u responders", (unsigned long long)alone,
              (unsigned long long)with_others, cpu_online_count() - 1);
    if (emulator != EMULATOR_BOCHS)
        return;
    CHECK(t, alone <= ALONE_GOAL, "alone: %llu ticks, at most %u are allowed", (unsigned long long)alone,
          ALONE_GOAL);
    if (cpu_online_count() == 4)
        CHECK(t, with_others <= alone + RESPONDER_GOAL, "three responders: %llu ticks more than alone",
              (unsigned long long)(with_others - alone));
}
TEST(region_discard_price,
     "a page given back, early_ack: in Bochs at most 490 ticks, and 250 more for three");
