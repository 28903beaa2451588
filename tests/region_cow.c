/* opt=cow: the CPU that writes to a copy-on-write page does not flush, and yet has forgotten the old frame. */
#include "kernel/trap.h"
#include "kernel/uaccess.h"
#include "lib/context.h"
#include "lib/features.h"
#include "mm/cow.h"
#include "mm/frame.h"
#include "mm/layout.h"
#include "mm/region.h"
#include "mm/space.h"
#include "tests/residents.h"
#include "tests/test.h"
#include "tests/window.h"

#define COW_VA (TEST_USER_VA + 16 * GIB)

static void load(struct space *s)
{
    preempt_disable();
    space_load(s);
    preempt_enable();
}

/* One copy by a CPU that has the shared page cached. Adds to the two counters what it should. */
static void copy_once(struct test *t, u32 exec, u64 written, u64 flushed)
{
    struct space *s, *other;
    struct fault_access write = {.write = true};
    vaddr_t at;
    u64 seen = 0, before[2] = {counter_now(t, "cow_written"), counter_now(t, "cow_flushed")};
    REQUIRE(t, space_create(&s) == ERR_OK && space_create(&other) == ERR_OK, "no spaces");
    CHECK(t, region_map(s, COW_VA, PAGE_SIZE, PT_WRITE | exec, REGION_ZERO, PT_4K, &at) == ERR_OK,
          "no region");
    CHECK(t, region_populate(s, COW_VA, COW_VA + PAGE_SIZE) == ERR_OK, "no page");
    load(s);
    CHECK(t, safe_write_u64((void *)COW_VA, 100) == 0, "the page cannot be written");
    CHECK(t, region_clone(s, other) == ERR_OK, "no copy");
    CHECK(t, safe_read_u64((void *)COW_VA, &seen) == 0 && seen == 100, "the shared page holds %llu",
          (unsigned long long)seen);
    CHECK(t, region_fault(s, COW_VA, write) == FAULT_RETRY, "the write is refused");
    /* By another way into the new frame, so that only who has forgotten the old one sees it. */
    *(u64 *)phys_to_virt(space_query(s, COW_VA).pa) = 7;
    CHECK(t, safe_read_u64((void *)COW_VA, &seen) == 0 && seen == 7,
          "the CPU that has copied the page reads %llu: the old frame", (unsigned long long)seen);
    CHECK(t, safe_write_u64((void *)COW_VA, 8) == 0, "the copy cannot be written");
    CHECK(t, *(u64 *)phys_to_virt(space_query(other, COW_VA).pa) == 100,
          "the write went into the shared frame");
    CHECK(t, s->cpu[cpu_self()].flushed == s->gen, "this CPU is behind");
    load(NULL);
    CHECK(t, counter_now(t, "cow_written") - before[0] == written, "copies without a flush: %llu, not %llu",
          (unsigned long long)(counter_now(t, "cow_written") - before[0]), (unsigned long long)written);
    CHECK(t, counter_now(t, "cow_flushed") - before[1] == flushed,
          "copies with a flush all the same: %llu, not %llu",
          (unsigned long long)(counter_now(t, "cow_flushed") - before[1]), (unsigned long long)flushed);
    region_destroy_all(s);
    region_destroy_all(other);
    space_destroy(s);
    space_destroy(other);
}

static void region_cow_by_write(struct test *t)
{
    bool before = cow_by_write;
    preempt_disable();
    bool usable = uaccess_stores_replace() && !features.pti;
    preempt_enable();
    cow_by_write = false;
    copy_once(t, 0, 0, 0);
    cow_by_write = true;
    copy_once(t, 0, usable, !usable);
    copy_once(t, PT_EXEC, 0, 0); /* a TLB of instructions would keep the old frame */
    cow_by_write = before;
    test_note(t, usable ? "replaced by a write" : "flushed: here a write replaces too little");
}
TEST(region_cow_by_write,
     "opt=cow: a write takes the place of the flush on the CPU that copies, and only where it may");
