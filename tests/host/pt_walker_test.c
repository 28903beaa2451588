/* Page tables while another CPU's walker sets dirty bits in them: at every single access that an operation makes, a
 * write of another CPU comes in just before it. None of these dirty bits may be lost.
 *
 *     sources: tests/host/phys.c mm/pt_table.c mm/pt_map.c mm/pt_change.c mm/pt_size.c mm/pt_walk.c
 *     sanitize: address,undefined */
#include "mm/pte.h"
#include "tests/host/host.h"
#include "tests/host/phys.h"

#define VA 0x0000123440000000ull
#define PA 0x0000000740000000ull

static struct phys_pool pool;
static struct pt pt;
static struct pt_change change;

static void fresh(void)
{
    phys_reset(0x100000000ull);
    phys_pool_init(&pool);
    phys_pt_init(&pt, &pool);
}

static void must(err_t e)
{
    HOST_CHECK(e == ERR_OK, "error %d", e);
}

static err_t split_2m(void)
{
    return pt_split(&pt, VA + MIB, PT_2M, &change);
}

static err_t merge_2m(void)
{
    return pt_merge(&pt, VA + MIB, PT_2M, &change);
}

static u32 accesses, touch_at;
static bool touched, seen_dirty;

static void touch_once(const volatile void *p)
{
    (void)p;
    if (accesses++ == touch_at)
        touched = phys_touch(pt.root.v, VA + 0x777, true);
}

static void note_dirty(struct pt_visitor *v, vaddr_t va, enum pt_size size, u64 old)
{
    (void)v;
    if (va <= VA + 0x777 && VA + 0x777 < va + (1ull << size))
        seen_dirty |= (old & PTE_DIRTY) != 0;
}
static struct pt_visitor visitor = {note_dirty};
static u64 remap_old;

static err_t touch_unmap(void)
{
    return pt_unmap(&pt, VA, VA + PAGE_SIZE, &visitor, &change);
}
static err_t touch_protect(void)
{
    return pt_protect(&pt, VA, VA + PAGE_SIZE, 0, &visitor, &change);
}
static err_t touch_remap(void)
{
    err_t e = pt_remap(&pt, VA, PADDR(PA + GIB), PT_2M, PT_WRITE, &remap_old);
    seen_dirty = (remap_old & PTE_DIRTY) != 0;
    return e;
}

/* Runs the operation once for each of its accesses, with a write by another CPU to VA just before that access. If
 * the write was let through, its dirty bit must be in what the operation reported or in what is there now. */
static void touch_everywhere(const char *what, err_t (*operation)(void), enum pt_size size, bool small_first)
{
    u32 through = 0, refused = 0;
    for (touch_at = 0;; touch_at++) {
        fresh();
        must(pt_map(&pt, VA, PADDR(PA), size, PT_WRITE));
        if (small_first)
            must(split_2m());
        accesses = 0;
        touched = seen_dirty = false;
        phys_before_access = touch_once;
        err_t e = operation();
        phys_before_access = NULL;
        HOST_CHECK(e == ERR_OK, "%s: error %d", what, e);
        struct phys_translation t = phys_walk(pt.root.v, VA + 0x777);
        HOST_CHECK(!touched || seen_dirty || t.dirty, "%s: the dirty bit set before access %u is lost", what,
                   touch_at);
        if (accesses <= touch_at)
            break;
        through += touched;
        refused += !touched;
    }
    HOST_CHECK(through >= 2, "%s: %u writes got through, %u were refused", what, through, refused);
}

HOST_TEST(a_dirty_bit_set_in_the_middle_is_never_lost)
{
    touch_everywhere("unmap", touch_unmap, PT_4K, false);
    touch_everywhere("unmap of a part", touch_unmap, PT_2M, false);
    touch_everywhere("protect", touch_protect, PT_4K, false);
    touch_everywhere("protect of a part", touch_protect, PT_2M, false);
    touch_everywhere("remap", touch_remap, PT_2M, false);
    touch_everywhere("split", split_2m, PT_2M, false);
    touch_everywhere("merge", merge_2m, PT_2M, true);
}
