/* The kernel's mappings: W^X, what must fault, stacks with guards, windows on physical memory. */
#include "mm/kmap.h"

#include "kernel/trap.h"
#include "kernel/worker.h"
#include "lib/image.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "mm/layout.h"
#include "mm/pte.h"
#include "mm/space.h"
#include "tests/flag.h"
#include "tests/oracle.h"
#include "tests/test.h"

#define PF_VECTOR   14
#define STACK_PAGES (KSTACK_SIZE / PAGE_SIZE)

static void kmap_wx(struct test *t)
{
    CHECK(t, kmap_check_wx() == 0, "the loaded tables break a rule; see the log");

    /* And it would have been seen. The findings are logged as errors, on purpose. */
    paddr_t p;
    vaddr_t va = kmap_reserve(1);
    REQUIRE(t, va && frame_alloc_zeroed(FRAME_OWNER_TEST, &p) == ERR_OK, "out of memory");
    if (CHECK(t, space_map(&kernel_space, va, p, PAGE_SIZE, PT_4K, PT_WRITE | PT_EXEC) == ERR_OK, "map")) {
        CHECK(t, kmap_check_wx() == 1, "a page that is writable and executable");
        CHECK(t, space_protect(&kernel_space, va, va + PAGE_SIZE, PT_EXEC) == ERR_OK && kmap_check_wx() == 1,
              "a page that is executable, but not text");
        CHECK(t, space_unmap(&kernel_space, va, va + PAGE_SIZE) == ERR_OK && kmap_check_wx() == 0,
              "clean again");
    }
    frame_free(p);
}
TEST(kmap_wx,
     "no kernel page is writable and executable, none but text executable, and the check sees it if one is");

static u64 any_function(void)
{
    return 1;
}

static void kmap_protected(struct test *t)
{
    static u64 data = 0x00000000c3c3c3c3ull; /* RET, were it executed */
    static const u64 constant = 5;
    void *text = (void *)(u64)any_function, *rodata = (void *)&constant;
    u64 v = 0;

    CHECK(t, safe_write_u64(text, 0) == PF_VECTOR, "text is written to");
    CHECK(t, safe_write_u64(rodata, 0) == PF_VECTOR, "rodata is written to");
    CHECK(t, safe_write_u64(phys_to_virt(virt_to_phys(rodata)), 0) == PF_VECTOR,
          "rodata is written to through the direct map");
    CHECK(t, safe_call((u64(*)(void))(u64)&data, &v) == PF_VECTOR, "data is executed");
    CHECK(t, safe_call((u64(*)(void))phys_to_virt(virt_to_phys(text)), &v) == PF_VECTOR,
          "the direct map is executed");
    CHECK(t, safe_read_u64(NULL, &v) == PF_VECTOR, "the null page is read");
    CHECK(t, safe_read_u64((void *)virt_to_phys(text).v, &v) == PF_VECTOR, "the identity map is still there");
    CHECK(t, safe_read_u64((void *)(DIRECT_MAP_BASE + DIRECT_MAP_SIZE), &v) == PF_VECTOR,
          "something lies behind the direct map");
    CHECK(t, safe_call(any_function, &v) == 0 && v == 1, "and text runs");
}
TEST(kmap_protected,
     "text, rodata, data, direct map, null page and the old identity map fault as they should");

static void kmap_guards(struct test *t)
{
    u64 v;
    const char *name = kmap_guard_name((vaddr_t)boot_stack_guard + 123);
    CHECK(t, name && !strcmp(name, "boot"), "the boot stack's guard is called %s", name ? name : "nothing");
    CHECK(t, safe_read_u64(boot_stack_guard + PAGE_SIZE - 8, &v) == PF_VECTOR,
          "the boot stack's guard can be read");
    CHECK(t, safe_read_u64(boot_stack_bottom, &v) == 0, "the boot stack itself can");

    u64 top = kmap_stack();
    REQUIRE(t, top, "out of memory");
    u8 *lowest = (u8 *)top - KSTACK_SIZE;
    CHECK(t, IS_ALIGNED(top, 16u), "top %llx", (unsigned long long)top);
    CHECK(t, safe_write_u64(lowest, 1) == 0 && safe_write_u64((u8 *)top - 8, 1) == 0,
          "both ends can be written");
    CHECK(t, safe_write_u64(lowest - 8, 1) == PF_VECTOR && safe_read_u64(lowest - PAGE_SIZE, &v) == PF_VECTOR,
          "the guard cannot");
    kmap_name_stack(top, "test %d", 7);
    name = kmap_guard_name((vaddr_t)lowest - 1);
    CHECK(t, name && !strcmp(name, "test 7"), "called %s", name ? name : "nothing");
    CHECK(t, !kmap_guard_name((vaddr_t)lowest) && !kmap_guard_name(top) && !kmap_guard_name(0),
          "only the guard has a name");
    kmap_free_pages(lowest, STACK_PAGES);
    CHECK(t, safe_read_u64(lowest, &v) == PF_VECTOR, "freed stacks are unmapped");
}
TEST(kmap_guards, "every stack has an unmapped page below it that is known by the stack's name");

static void kmap_fresh_pages(struct test *t)
{
    const u64 n = 700; /* over the end of a table */
    u64 v, wrong = 0;
    u64 *a = kmap_pages(n, FRAME_OWNER_TEST), *b = kmap_pages(1, FRAME_OWNER_TEST);
    REQUIRE(t, a && b, "out of memory");
    for (u64 i = 0; i < n * PAGE_SIZE / 8; i++)
        wrong += a[i] != 0;
    CHECK(t, wrong == 0, "%llu words are not zero", (unsigned long long)wrong);
    for (u64 i = 0; i < n; i++)
        a[i * PAGE_SIZE / 8] = i;
    for (u64 i = 0; i < n; i++)
        wrong += a[i * PAGE_SIZE / 8] != i;
    CHECK(t, wrong == 0, "%llu pages share a frame with another", (unsigned long long)wrong);
    CHECK(t, safe_read_u64(a - 1, &v) == PF_VECTOR && safe_read_u64(a + n * PAGE_SIZE / 8, &v) == PF_VECTOR,
          "guards around it");
    paddr_t frame = pt_walk(&kernel_pt, (vaddr_t)a).pa;
    CHECK(t, frame_of(frame)->owner == FRAME_OWNER_TEST && frame_of(frame)->mappings == 1,
          "owner %u, %u mappings", frame_of(frame)->owner, frame_of(frame)->mappings);
    kmap_free_pages(a, n);
    kmap_free_pages(b, 1);
    CHECK(t, !kmap_pages(0, FRAME_OWNER_TEST) && !kmap_pages(~0ull, FRAME_OWNER_TEST),
          "no pages, and too many");
}
TEST(kmap_fresh_pages, "fresh kernel pages are zero, distinct, and lie between unmapped ones");

static void kmap_windows(struct test *t)
{
    paddr_t p;
    REQUIRE(t, frame_alloc_order(1, FRAME_OWNER_TEST, &p) == ERR_OK, "out of memory");
    frame_split(p); /* so that kmap_free_pages can free them one by one */
    u8 *direct = phys_to_virt(p);
    for (u32 i = 0; i < 2 * PAGE_SIZE; i++)
        direct[i] = (u8)(i * 7);
    /* Eleven bytes across the boundary, at an odd address. */
    const u8 *window = kmap_phys(paddr_add(p, PAGE_SIZE - 5), 11, PT_READ);
    if (CHECK(t, window, "no window")) {
        CHECK(t, !memcmp(window, direct + PAGE_SIZE - 5, 11), "it shows the same bytes");
        CHECK(t, safe_write_u64((void *)window, 0) == PF_VECTOR, "it was asked for read-only");
        kmap_free_pages((void *)ALIGN_DOWN((u64)window, PAGE_SIZE), 2);
    } else {
        frame_free(p);
        frame_free(paddr_add(p, PAGE_SIZE));
    }
    CHECK(t,
          !kmap_phys(p, 0, PT_READ) && !kmap_phys(PADDR(~0ull - 10), 100, PT_READ) &&
              !kmap_phys(PADDR(1ull << 52), 8, PT_READ),
          "empty, wrapping and impossible windows are refused");
}
TEST(kmap_windows,
     "a window on physical memory shows any bytes, at any alignment, with the rights asked for");

static void kmap_ranges(struct test *t)
{
    vaddr_t a = kmap_reserve(3), b = kmap_reserve(3), large = kmap_reserve(PT_ENTRIES);
    u64 v;
    REQUIRE(t, a && b && large, "no range");
    CHECK(t, b >= a + 4 * PAGE_SIZE && large >= b + 4 * PAGE_SIZE, "%llx, %llx, %llx", (unsigned long long)a,
          (unsigned long long)b, (unsigned long long)large);
    CHECK(t, IS_ALIGNED(large, 2 * MIB), "a range for a large page is aligned for one: %llx",
          (unsigned long long)large);
    CHECK(t, safe_read_u64((void *)a, &v) == PF_VECTOR, "nothing is mapped yet");
    CHECK(t, !kmap_reserve(0) && !kmap_reserve(~0ull) && !kmap_reserve(KMAP_DYNAMIC_SIZE / PAGE_SIZE),
          "no pages, and too many");
    CHECK(t, space_map_fresh(&kernel_space, a, 3, PT_WRITE, FRAME_OWNER_TEST) == ERR_OK, "map");
    CHECK(t,
          safe_write_u64((void *)(a + 2 * PAGE_SIZE), 9) == 0 &&
              safe_read_u64((void *)(a + 2 * PAGE_SIZE), &v) == 0 && v == 9,
          "mapped");
    CHECK(t,
          space_unmap(&kernel_space, a, a + 3 * PAGE_SIZE) == ERR_OK &&
              safe_read_u64((void *)a, &v) == PF_VECTOR,
          "unmapped");
}
TEST(kmap_ranges, "reserved kernel ranges are apart, aligned, and can be mapped and unmapped at run time");

#define FORGET_MS 10000u /* a hang detector */

static struct {
    u64 *page;
    u32 read, freed;
    int before, after; /* vectors of the two reads */
} freed;

static void read_twice(void *arg)
{
    u64 v;
    (void)arg;
    freed.before = safe_read_u64(freed.page, &v);
    flag_raise(&freed.read);
    (void)flag_wait(&freed.freed, FORGET_MS);
    freed.after = safe_read_u64(freed.page, &v);
}

static void kmap_freed_everywhere(struct test *t)
{
    cpu_t cpu = cpumask_next(&cpus_online, 1);
    if (cpu == CPU_NONE) {
        test_skip(t, "needs 2 CPUs");
        return;
    }
    freed.read = freed.freed = 0;
    freed.page = kmap_pages(1, FRAME_OWNER_TEST);
    REQUIRE(t, freed.page, "out of memory");
    REQUIRE(t, worker_start(cpu, read_twice, NULL) == ERR_OK, "CPU %u is at other work", cpu);
    CHECK(t, flag_wait(&freed.read, FORGET_MS), "CPU %u does not read", cpu);
    kmap_free_pages(freed.page, 1);
    flag_raise(&freed.freed);
    CHECK(t, worker_wait(cpu, FORGET_MS) == ERR_OK, "CPU %u does not end", cpu);
    CHECK(t, freed.before == 0, "the page could not be read: vector %d", freed.before);
    if (oracle.remote)
        CHECK(t, freed.after == PF_VECTOR, "CPU %u still reads it: vector %d", cpu, freed.after);
    else
        test_blind(t, "a stale entry of another CPU would not show on this machine");
}
TEST(kmap_freed_everywhere, "a kernel page that is taken back is forgotten by CPUs that have read it");
