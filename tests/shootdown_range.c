/* Ranges: every page of what was unmapped is forgotten by every CPU, and nothing beside it is lost. */
#include "apic/apic.h"
#include "mm/frame.h"
#include "tests/oracle.h"
#include "tests/range.h"
#include "tests/residents.h"
#include "tests/window.h"

static void shootdown_range_at_ceiling(struct test *t)
{
    if (!range_begin(t))
        return;
    u32 c = MIN(shootdown_ceiling, RANGE_PAGES_MAX - 1);
    if (c > 1)
        range_check_policies(t, RESIDENTS_FREE_VA, c - 1, PT_WRITE);
    range_check_policies(t, RESIDENTS_FREE_VA, c, PT_WRITE);
    range_check_policies(t, RESIDENTS_FREE_VA, c + 1, PT_WRITE);
    range_end();
}
TEST(shootdown_range_at_ceiling,
     "ranges one page below, at and above the full-flush ceiling, first to last page");

static void shootdown_range_of_one(struct test *t)
{
    if (!range_begin(t))
        return;
    range_check_policies(t, RESIDENTS_FREE_VA, 1, PT_WRITE);
    range_check_policies(t, RESIDENTS_FREE_VA, 2, PT_WRITE);
    range_end();
}
TEST(shootdown_range_of_one, "ranges of one and two pages between two that stay");

static void shootdown_range_crosses_tables(struct test *t)
{
    /* Each lies half below and half above the border of a table of that level; the guards keep both tables in use. */
    static const u64 border[] = {2 * MIB, GIB, 512 * GIB};
    if (!range_begin(t))
        return;
    for (u32 i = 0; i < ARRAY_SIZE(border); i++)
        range_check_policies(t, ALIGN_UP(TEST_USER_VA, border[i]) - 2 * PAGE_SIZE, 4, PT_WRITE);
    range_end();
}
TEST(shootdown_range_crosses_tables, "ranges across the borders of page tables of every level");

static void shootdown_range_ends_of_user_half(struct test *t)
{
    if (!range_begin(t))
        return;
    /* Its neighbour on the right is the last page of the user half. */
    range_check_policies(t, USER_END - 4 * PAGE_SIZE, 3, PT_WRITE);
    range_check_policies(t, USER_START + PAGE_SIZE, 3, PT_WRITE);
    range_end();
}
TEST(shootdown_range_ends_of_user_half, "ranges at the first and the last pages of the user half");

static void shootdown_range_kernel_global(struct test *t)
{
    if (!range_begin(t))
        return;
    u32 c = MIN(shootdown_ceiling, RANGE_PAGES_MAX - 1);
    range_check_policies(t, TEST_KERNEL_VA, 1, PT_WRITE | PT_GLOBAL);
    range_check_policies(t, TEST_KERNEL_VA, c, PT_WRITE | PT_GLOBAL);
    range_check_policies(t, TEST_KERNEL_VA, c + 1, PT_WRITE | PT_GLOBAL);
    range_end();
    /* Where a load of CR3 forgets global entries too, a flush that forgot them could not be told from a right one. */
    if (!oracle.global)
        test_note(t, "a reload of CR3 forgets global entries on this machine: seen is only that something "
                     "was flushed");
}
TEST(shootdown_range_kernel_global, "global kernel ranges below and above the full-flush ceiling");

struct bad_range {
    vaddr_t start, end;
    const char *what;
};

static void shootdown_refuses_bad_ranges(struct test *t)
{
    static const struct bad_range bad[] = {
        {TEST_USER_VA, TEST_USER_VA, "zero length"},
        {TEST_USER_VA + 1, TEST_USER_VA + PAGE_SIZE, "unaligned start"},
        {TEST_USER_VA, TEST_USER_VA + 100, "unaligned end"},
        {TEST_USER_VA + PAGE_SIZE, TEST_USER_VA, "end before start"},
        {0ull - PAGE_SIZE, PAGE_SIZE, "wrap-around"},
        {0, PAGE_SIZE, "page 0"},
        {USER_END - PAGE_SIZE, USER_END + PAGE_SIZE, "over the end of the user half"},
        {USER_END, DIRECT_MAP_BASE, "the non-canonical hole"},
        {USER_END - PAGE_SIZE, DIRECT_MAP_BASE + PAGE_SIZE, "from half to half"},
        {DIRECT_MAP_BASE, DIRECT_MAP_BASE + PAGE_SIZE, "the direct map in a user space"},
    };
    struct residents r;
    if (residents_enter(t, &r)) {
        u64 icr = apic_icr_writes();
        tlb_gen_t gen = r.space->gen;
        for (u32 i = 0; i < ARRAY_SIZE(bad); i++) {
            err_t e = space_unmap(r.space, bad[i].start, bad[i].end);
            CHECK(t, e == ERR_INVAL || e == ERR_RANGE, "unmap, %s: %s", bad[i].what, err_name(e));
            e = space_protect(r.space, bad[i].start, bad[i].end, PT_READ);
            CHECK(t, e == ERR_INVAL || e == ERR_RANGE, "protect, %s: %s", bad[i].what, err_name(e));
        }
        err_t e = space_unmap(&kernel_space, TEST_USER_VA, TEST_USER_VA + PAGE_SIZE);
        CHECK(t, e == ERR_RANGE, "a user page in the kernel's space: %s", err_name(e));
        e = space_unmap(&kernel_space, KERNEL_BASE + MIB, KERNEL_BASE + MIB + PAGE_SIZE);
        CHECK(t, e == ERR_RANGE, "the kernel's own text: %s", err_name(e));
        CHECK(t, r.space->gen == gen && apic_icr_writes() == icr,
              "refused ranges told somebody: %llu interrupts", (unsigned long long)(apic_icr_writes() - icr));
    }
    residents_leave(t, &r);
}
TEST(shootdown_refuses_bad_ranges,
     "unaligned, empty, wrapping, non-canonical and foreign ranges are refused");
