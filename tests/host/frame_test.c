/* The frame allocator on a machine with two pieces of memory: 64 MiB that boot's tables reach, with a kernel and a
 * module in it, and 300 MiB above 4 GiB whose contents nobody can touch here (phys_to_virt would end the test).
 *
 *     sources: tests/host/phys.c mm/frame.c mm/frame_init.c mm/frame_buddy.c mm/frame_cache.c mm/frame_map.c
 *     sanitize: address,undefined */
#include "lib/features.h"
#include "mm/frame.h"
#include "mm/layout.h"
#include "tests/host/host.h"
#include "tests/host/phys.h"

#define LOW        (16 * MIB)
#define HIGH       (8 * GIB - 100 * MIB) /* over a section's end */
#define HIGH_SIZE  (300 * MIB)
#define FRAMES_MAX (HIGH_SIZE / PAGE_SIZE + PHYS_SIZE / PAGE_SIZE)

static paddr_t taken[FRAMES_MAX];

static struct boot_info info = {
    .mem = {{{HIGH}, HIGH_SIZE, BOOT_MEM_USABLE},
            {{0}, 0x9fc00, BOOT_MEM_USABLE},
            {{LOW}, PHYS_SIZE, BOOT_MEM_USABLE},
            {{LOW + 9 * MIB}, MIB, BOOT_MEM_RESERVED},
            {{1ull << 45}, GIB, BOOT_MEM_USABLE}}, /* beyond frame numbers */
    .mem_count = 5,
    .kernel_start = {LOW},
    .kernel_end = {LOW + 5 * MIB + PAGE_SIZE},
    .modules = {{.start = {LOW + 7 * MIB + 5}, .size = 10}},
    .module_count = 1,
};

/* Once for all tests of this program: there is one machine. Each test gives back all that it takes. */
static void machine(void)
{
    static bool done;
    host_cpu_index = 0;
    if (done)
        return;
    done = true;
    phys_reset(LOW);
    features.phys_bits = 46;
    frame_init(&info);
}

static paddr_t must_alloc(u32 order)
{
    paddr_t p = PADDR_NONE;
    err_t e = frame_alloc_order(order, FRAME_OWNER_TEST, &p);
    HOST_CHECK(e == ERR_OK, "order %u: error %d", order, e);
    return p;
}

static bool within(paddr_t p, u64 start, u64 end)
{
    return p.v >= start && p.v < end;
}

static bool may_be_given_away(paddr_t p)
{
    bool memory = within(p, LOW, LOW + PHYS_SIZE) || within(p, HIGH, HIGH + HIGH_SIZE);
    bool used = within(p, LOW, LOW + 5 * MIB + PAGE_SIZE) ||
                within(p, LOW + 7 * MIB, LOW + 7 * MIB + PAGE_SIZE) ||
                within(p, LOW + 9 * MIB, LOW + 10 * MIB);
    return memory && !used;
}

static u64 take_all(u64 end)
{
    u64 n = 0;
    while (frame_alloc(FRAME_OWNER_TEST, &taken[n]) == ERR_OK) {
        HOST_CHECK(may_be_given_away(taken[n]) && taken[n].v < end, "%llx", (unsigned long long)taken[n].v);
        n++;
    }
    return n;
}

static void give_all(u64 n)
{
    while (n)
        frame_free(taken[--n]);
    frame_drain_cache();
}

/* First in the file, so first to run: memory above 4 GiB appears only when the direct map does. */
HOST_TEST(high_memory_comes_later)
{
    machine();
    struct frame_stats before = frame_stats();
    u64 n = take_all(BOOT_MAP_END);
    HOST_CHECK(n == before.total && frame_stats().free == 0, "%llu of %llu", (unsigned long long)n,
               (unsigned long long)before.total);
    give_all(n);
    HOST_CHECK(frame_stats().free == before.total, "all came back");
    HOST_CHECK(before.total < (PHYS_SIZE - 6 * MIB) / PAGE_SIZE,
               "kernel, module, reserved and descriptors are left out");
    HOST_CHECK(before.total > (PHYS_SIZE - 11 * MIB) / PAGE_SIZE, "and little else: %llu",
               (unsigned long long)before.total);

    frame_init_high();
    HOST_CHECK(frame_stats().total == before.total + HIGH_SIZE / PAGE_SIZE, "%llu",
               (unsigned long long)frame_stats().total);
    n = take_all(~0ull);
    HOST_CHECK(n == frame_stats().total, "%llu", (unsigned long long)n);
    give_all(n);
}

HOST_TEST(only_memory_of_ours_has_descriptors)
{
    machine();
    static const u64 not_ours[] = {0,
                                   0x8000,
                                   MIB,
                                   LOW,
                                   LOW + 5 * MIB,
                                   LOW + 7 * MIB,
                                   LOW + 9 * MIB,
                                   LOW - 1,
                                   4 * GIB,
                                   HIGH - 1,
                                   HIGH + HIGH_SIZE,
                                   1ull << 45,
                                   1ull << 51,
                                   ~0ull};
    for (u32 i = 0; i < ARRAY_SIZE(not_ours); i++)
        HOST_CHECK(frame_of(PADDR(not_ours[i])) == NULL, "%llx", (unsigned long long)not_ours[i]);
    HOST_CHECK(frame_of(PADDR(LOW + 6 * MIB)) && frame_of(PADDR(HIGH)) &&
                   frame_of(PADDR(HIGH + HIGH_SIZE - 1)),
               "ours");
    HOST_CHECK(frame_low_page().v == 0x8000, "%llx", (unsigned long long)frame_low_page().v);
}

HOST_TEST(blocks_are_aligned_disjoint_and_merge_again)
{
    machine();
    u64 blocks_at_first = 0;
    while (frame_alloc_order(FRAME_2M, FRAME_OWNER_TEST, &taken[blocks_at_first]) == ERR_OK)
        blocks_at_first++;
    give_all(blocks_at_first);
    HOST_CHECK(blocks_at_first > 160, "%llu blocks of 2 MiB", (unsigned long long)blocks_at_first);
    HOST_CHECK(frame_alloc_order(FRAME_2M + 1, FRAME_OWNER_TEST, &taken[0]) == ERR_INVAL, "no larger blocks");

    static struct {
        paddr_t p;
        u32 order;
    } held[512];
    struct frame_stats before = frame_stats();
    u32 n = 0;
    srand(7);
    for (u32 step = 0; step < 40000; step++) {
        if (n == ARRAY_SIZE(held) || (n && rand() % 100 < 48)) {
            u32 i = (u32)rand() % n;
            frame_free(held[i].p);
            held[i] = held[--n];
            continue;
        }
        u32 order = (u32)rand() % 3 ? 0 : (u32)rand() % 10;
        paddr_t p = must_alloc(order);
        HOST_CHECK(IS_ALIGNED(p.v, PAGE_SIZE << order) && may_be_given_away(p), "%llx",
                   (unsigned long long)p.v);
        for (u32 i = 0; i < n; i++)
            HOST_CHECK(p.v + (PAGE_SIZE << order) <= held[i].p.v ||
                           held[i].p.v + (PAGE_SIZE << held[i].order) <= p.v,
                       "overlap");
        struct frame *f = frame_of(p);
        HOST_CHECK(f && f->owner == FRAME_OWNER_TEST && f->order == order && f->mappings == 0, "descriptor");
        held[n].p = p;
        held[n++].order = order;
    }
    while (n)
        frame_free(held[--n].p);
    frame_drain_cache();
    HOST_CHECK(frame_stats().free == before.free && frame_stats().cached == 0, "all came back");
    u64 blocks = 0;
    while (frame_alloc_order(FRAME_2M, FRAME_OWNER_TEST, &taken[blocks]) == ERR_OK)
        blocks++;
    give_all(blocks);
    HOST_CHECK(blocks == blocks_at_first, "%llu of %llu blocks", (unsigned long long)blocks,
               (unsigned long long)blocks_at_first);
}

HOST_TEST(below_a_limit)
{
    machine();
    u64 n = 0;
    while (frame_alloc_below(LOW + 8 * MIB, FRAME_OWNER_TABLE, &taken[n]) == ERR_OK) {
        HOST_CHECK(may_be_given_away(taken[n]) && taken[n].v < LOW + 8 * MIB, "%llx",
                   (unsigned long long)taken[n].v);
        n++;
    }
    HOST_CHECK(n == 3 * MIB / PAGE_SIZE - 2, "%llu", (unsigned long long)n);
    give_all(n);
    HOST_CHECK(frame_alloc_below(MIB, FRAME_OWNER_TABLE, &taken[0]) == ERR_NOMEM, "nothing of the first MiB");
    HOST_CHECK(frame_alloc_below(LOW + 5 * MIB, FRAME_OWNER_TABLE, &taken[0]) == ERR_NOMEM,
               "nothing of the kernel");
}

HOST_TEST(zeroed_frames_are_zero)
{
    machine();
    paddr_t p = PADDR_NONE;
    HOST_CHECK(frame_alloc_below(BOOT_MAP_END, FRAME_OWNER_TEST, &p) == ERR_OK, "low");
    memset(phys_to_virt(p), 0xa5, PAGE_SIZE);
    u32 generation = frame_of(p)->generation;
    frame_free(p);
    paddr_t again = PADDR_NONE;
    HOST_CHECK(frame_alloc_zeroed(FRAME_OWNER_USER, &again) == ERR_OK && again.v == p.v,
               "the newest is used first");
    const u8 *byte = phys_to_virt(again);
    for (u32 i = 0; i < PAGE_SIZE; i++)
        HOST_CHECK(byte[i] == 0, "byte %u", i);
    HOST_CHECK(frame_of(again)->generation == generation + 1 && frame_of(again)->owner == FRAME_OWNER_USER,
               "descriptor");
    frame_free(again);
}

HOST_TEST(each_cpu_keeps_a_bounded_cache)
{
    machine();
    frame_drain_cache();
    struct frame_stats before = frame_stats();
    host_cpu_index = 3;
    for (u32 i = 0; i < 200; i++)
        taken[i] = must_alloc(0);
    u64 most = 0;
    for (u32 i = 0; i < 200; i++) {
        frame_free(taken[i]);
        most = MAX(most, frame_stats().cached);
        HOST_CHECK(frame_stats().free == before.free - 199 + i, "cached frames count as free");
    }
    HOST_CHECK(most >= 16 && most <= 32, "%llu in the cache", (unsigned long long)most);
    host_cpu_index = 0;
    paddr_t p = must_alloc(0);
    frame_free(p); /* another CPU's cache is another cache */
    frame_drain_cache();
    HOST_CHECK(frame_stats().cached > 0, "CPU 3 keeps its own");
    host_cpu_index = 3;
    frame_drain_cache();
    HOST_CHECK(frame_stats().cached == 0 && frame_stats().free == before.free, "all came back");
}

HOST_TEST(bad_frees_panic_and_say_why)
{
    machine();
    paddr_t p = must_alloc(0), block = must_alloc(3);
    HOST_CHECK_PANICS(frame_free(paddr_add(p, 8)));
    HOST_CHECK(strstr(host_panic_text, "not its start"), "%s", host_panic_text);
    HOST_CHECK_PANICS(frame_free(PADDR(LOW)));
    HOST_CHECK(strstr(host_panic_text, "not the allocator's"), "%s", host_panic_text);
    frame_of(p)->mappings = 1;
    HOST_CHECK_PANICS(frame_free(p));
    HOST_CHECK(strstr(host_panic_text, "still mapped (owner 16, generation"), "%s", host_panic_text);
    /* The failed free has marked it free already: a second one says so. */
    HOST_CHECK_PANICS(frame_free(p));
    HOST_CHECK(strstr(host_panic_text, "free already (owner 16"), "%s", host_panic_text);
    frame_of(p)->mappings = 0;
    frame_of(p)->state = frame_of(block)->state;
    frame_free(p);

    paddr_t inner = paddr_add(block, PAGE_SIZE);
    u8 state = frame_of(inner)->state;
    HOST_CHECK_PANICS(frame_free(inner));
    HOST_CHECK(strstr(host_panic_text, "inside a larger block"), "%s", host_panic_text);
    frame_of(inner)->state = state;
    frame_free(block);
    HOST_CHECK_PANICS(frame_free(block));
    HOST_CHECK(strstr(host_panic_text, "inside a larger block") || strstr(host_panic_text, "free already"),
               "%s", host_panic_text);
}

HOST_TEST(blocks_split_and_join)
{
    machine();
    frame_drain_cache();
    u64 free = frame_stats().free;
    paddr_t p = must_alloc(FRAME_2M);
    frame_split(p);
    for (u32 i = 0; i < 512; i++)
        HOST_CHECK(frame_of(paddr_add(p, i * PAGE_SIZE))->owner == FRAME_OWNER_TEST, "%u", i);
    HOST_CHECK(frame_join(p), "as before");
    HOST_CHECK(!frame_join(p), "it is one block already");
    frame_split(p);
    frame_of(paddr_add(p, 9 * PAGE_SIZE))->owner = FRAME_OWNER_USER;
    HOST_CHECK(!frame_join(p), "one is another owner's");
    frame_of(paddr_add(p, 9 * PAGE_SIZE))->owner = FRAME_OWNER_TEST;
    frame_free(paddr_add(p, 7 * PAGE_SIZE));
    HOST_CHECK(!frame_join(p), "one is missing");
    for (u32 i = 0; i < 512; i++)
        if (i != 7)
            frame_free(paddr_add(p, i * PAGE_SIZE));
    frame_drain_cache();
    HOST_CHECK(frame_stats().free == free, "each was freed by itself");
}
