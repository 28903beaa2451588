/* Physical frames on the real machine: caches, blocks, descriptors, all CPUs at once, and what the kernel uses
 * itself. */
#include "mm/frame.h"

#include "kernel/worker.h"
#include "lib/atomic.h"
#include "lib/image.h"
#include "lib/string.h"
#include "mm/layout.h"
#include "smp/cpus.h"
#include "tests/test.h"

static void frame_cache(struct test *t)
{
    paddr_t p[8];
    frame_drain_cache();
    struct frame_stats before = frame_stats();
    REQUIRE(t, frame_alloc(FRAME_OWNER_TEST, &p[0]) == ERR_OK, "out of memory");
    CHECK(t, frame_stats().cached > before.cached, "CPU 0 has no cache: %llu frames cached",
          (unsigned long long)frame_stats().cached);
    frame_free(p[0]);
    for (u32 i = 0; i < ARRAY_SIZE(p); i++)
        REQUIRE(t, frame_alloc(FRAME_OWNER_TEST, &p[i]) == ERR_OK, "out of memory");
    CHECK(t, frame_stats().free == before.free - ARRAY_SIZE(p),
          "free frames are counted, cached ones among them");
    for (u32 i = 0; i < ARRAY_SIZE(p); i++)
        frame_free(p[i]);
    frame_drain_cache();
    CHECK(t, frame_stats().cached == before.cached && frame_stats().free == before.free,
          "drained: %llu cached", (unsigned long long)frame_stats().cached);
}
TEST(frame_cache, "single frames come from the CPU's cache, go back there, and are counted as free");

static void frame_generation(struct test *t)
{
    paddr_t first, again;
    REQUIRE(t, frame_alloc_zeroed(FRAME_OWNER_TEST, &first) == ERR_OK, "out of memory");
    u64 *word = phys_to_virt(first);
    u32 generation = frame_of(first)->generation;
    for (u32 i = 0; i < PAGE_SIZE / 8; i++)
        REQUIRE(t, word[i] == 0, "word %u of a zeroed frame is %llx", i, (unsigned long long)word[i]);
    memset(word, 0x5a, PAGE_SIZE);
    frame_free(first);
    REQUIRE(t, frame_alloc_zeroed(FRAME_OWNER_TEST + 1, &again) == ERR_OK, "out of memory");
    CHECK(t, again.v == first.v, "the frame freed last is used first: %llx, then %llx",
          (unsigned long long)first.v, (unsigned long long)again.v);
    CHECK(t, frame_of(again)->generation == generation + (again.v == first.v), "generation %u after %u",
          frame_of(again)->generation, generation);
    CHECK(t, frame_of(again)->owner == FRAME_OWNER_TEST + 1 && word[PAGE_SIZE / 8 - 1] == 0,
          "a new owner sees zeros");
    frame_free(again);
}
TEST(frame_generation, "a reused frame has a new owner and generation, and is zero when that was asked for");

static void frame_blocks(struct test *t)
{
    paddr_t block[FRAME_2M + 1];
    for (u32 order = 0; order <= FRAME_2M; order++) {
        REQUIRE(t, frame_alloc_order(order, FRAME_OWNER_TEST, &block[order]) == ERR_OK,
                "no block of order %u", order);
        CHECK(t, IS_ALIGNED(block[order].v, PAGE_SIZE << order), "order %u at %llx", order,
              (unsigned long long)block[order].v);
        memset(phys_to_virt(block[order]), (int)order + 1, PAGE_SIZE << order);
    }
    for (u32 order = 0; order <= FRAME_2M; order++) {
        const u8 *byte = phys_to_virt(block[order]);
        u64 wrong = 0;
        for (u64 i = 0; i < PAGE_SIZE << order; i += 64)
            wrong += byte[i] != order + 1;
        CHECK(t, wrong == 0, "the block of order %u shares %llu lines with another", order,
              (unsigned long long)wrong);
        frame_free(block[order]);
    }
    CHECK(t, frame_alloc_order(FRAME_2M + 1, FRAME_OWNER_TEST, &block[0]) == ERR_INVAL,
          "4 MiB blocks do not exist");
}
TEST(frame_blocks, "blocks of 4 KiB to 2 MiB are aligned to their size and overlap no other");

static void frame_descriptors(struct test *t)
{
    const u64 kernel = virt_to_phys(kernel_text_start).v, bss = virt_to_phys(kernel_bss_end).v;
    const u64 not_ours[] = {0,       0xb8000,    frame_low_page().v,    kernel,
                            bss - 1, 0xfee00000, frame_address_limit(), ~0ull};
    for (u32 i = 0; i < ARRAY_SIZE(not_ours); i++)
        CHECK(t, !frame_of(PADDR(not_ours[i])), "%llx has a descriptor", (unsigned long long)not_ours[i]);

    paddr_t below;
    CHECK(t, frame_alloc_below(MIB, FRAME_OWNER_TEST, &below) == ERR_NOMEM, "the first MiB is nobody's");
    REQUIRE(t, frame_alloc_below(BOOT_MAP_END, FRAME_OWNER_TEST, &below) == ERR_OK, "no memory below 4 GiB");
    CHECK(t, below.v < BOOT_MAP_END && frame_of(below) && frame_of(below)->owner == FRAME_OWNER_TEST, "%llx",
          (unsigned long long)below.v);
    frame_free(below);
}
TEST(frame_descriptors,
     "the kernel, the first MiB and device memory are no frames; memory below 4 GiB can be asked for");

/* ---- all CPUs at once ---- */

#define HELD     48u /* more than a cache holds, so that the buddy lists are used, too */
#define ROUNDS   40u
#define LIMIT_MS 5000u

static struct test *storm_test;
static u32 storm_lost; /* frames that someone else wrote to while we held them */

static void storm(void *arg)
{
    u64 self = (u64)arg + 1;
    paddr_t p[HELD];
    for (u32 round = 0; round < ROUNDS; round++) {
        u32 n = 0;
        while (n < HELD && frame_alloc_order(n % 16 == 15 ? 2 : 0, FRAME_OWNER_TEST, &p[n]) == ERR_OK) {
            atomic_store_relaxed((u64 *)phys_to_virt(p[n]), self << 32 | n);
            n++;
        }
        CHECK(storm_test, n == HELD, "out of memory after %u", n);
        for (u32 i = 0; i < n; i++)
            if (atomic_load_relaxed((u64 *)phys_to_virt(p[i])) != (self << 32 | i))
                atomic_fetch_add(&storm_lost, 1);
        /* Every other round in the order of allocation, so that caches fill with old frames. */
        for (u32 i = 0; i < n; i++)
            frame_free(p[round & 1 ? i : n - 1 - i]);
    }
    frame_drain_cache();
}

static void frame_storm(struct test *t)
{
    storm_test = t;
    storm_lost = 0;
    u32 cpus = 1;
    u64 free = frame_stats().free;
    for (cpu_t c = 1; c < cpu_count(); c++)
        if (cpu_is_online(c))
            cpus +=
                CHECK(t, worker_start(c, storm, (void *)(u64)c) == ERR_OK, "CPU %u does not take work", c);
    storm((void *)0);
    for (cpu_t c = 1; c < cpu_count(); c++)
        if (cpu_is_online(c))
            CHECK(t, worker_wait(c, LIMIT_MS) == ERR_OK, "CPU %u still works", c);
    CHECK(t, storm_lost == 0, "%u frames were in two hands", storm_lost);
    CHECK(t, frame_stats().free == free, "%llu of %llu frames are free",
          (unsigned long long)frame_stats().free, (unsigned long long)free);
    test_note(t, "%u CPUs, %u frames each", cpus, HELD * ROUNDS);
}
TEST(frame_storm, "all CPUs allocate and free at once: no frame is in two hands, none is lost");

/* ---- limits ---- */

static void frame_high(struct test *t)
{
    u64 high = 0;
    paddr_t p;
    /* The allocator prefers what was freed last, and memory above 4 GiB was added last. */
    REQUIRE(t, frame_alloc_order(FRAME_2M, FRAME_OWNER_TEST, &p) == ERR_OK, "out of memory");
    if (p.v >= BOOT_MAP_END) {
        u64 *words = phys_to_virt(p);
        for (u64 i = 0; i < 2 * MIB / 8; i += 512)
            words[i] = p.v + i;
        for (u64 i = 0; i < 2 * MIB / 8; i += 512)
            high += words[i] == p.v + i;
        CHECK(t, high == 512, "%llu of 512 pages above 4 GiB keep what is written", (unsigned long long)high);
    } else {
        test_skip(t, "no memory above 4 GiB");
    }
    frame_free(p);
}
TEST(frame_high, "memory above 4 GiB can be used through the direct map");

static void frame_kernel_use(struct test *t)
{
    struct frame_stats s = frame_stats();
    if (cpu_count() > 4 || s.total > 512 * MIB / PAGE_SIZE) {
        test_skip(t, "the limit is for up to 4 CPUs and 512 MiB");
        return;
    }
    u64 image = (u64)(kernel_bss_end - kernel_text_start);
    u64 descriptors = ALIGN_UP(s.total * sizeof(struct frame), 512 * KIB) + 512 * KIB;
    u64 used = image + descriptors + (s.total - s.free) * PAGE_SIZE;
    CHECK(t, used <= 32 * MIB, "image %llu KiB, descriptors %llu KiB, allocated %llu KiB",
          (unsigned long long)(image / KIB), (unsigned long long)(descriptors / KIB),
          (unsigned long long)((s.total - s.free) * PAGE_SIZE / KIB));
    test_note(t, "%llu KiB", (unsigned long long)(used / KIB));
}
TEST(frame_kernel_use, "the kernel itself uses at most 32 MiB at 4 CPUs and 512 MiB");
