/* Operations on regions that need several shootdowns, with what another thread may do between two of them.
 *
 *     sources: tests/host/region_machine.c tests/host/phys.c mm/region.c mm/region_table.c mm/region_fault.c mm/region_unmap.c
 *     sources: mm/region_clone.c mm/region_move.c mm/space_ops.c mm/pt_table.c mm/pt_map.c mm/pt_change.c mm/pt_size.c mm/pt_walk.c
 *     sources: mm/pt_leaf.c mm/frame.c mm/frame_init.c mm/frame_buddy.c mm/frame_cache.c mm/frame_map.c
 *     sanitize: address,undefined */
#include "mm/frame.h"
#include "mm/layout.h"
#include "mm/region.h"
#include "tests/host/phys.h"
#include "tests/host/region_machine.h"

#define BASE  (64 * GIB)
#define PAGES 6144u /* three of a copy's batches */

static struct space *space;
static u32 flushes;

static vaddr_t page(u32 n)
{
    return BASE + n * PAGE_SIZE;
}

static void begin(void (*between)(struct space *s))
{
    machine_start();
    space = machine_space();
    machine_before_flush = between;
    flushes = 0;
}

static void map(u32 first, u32 pages, bool now)
{
    vaddr_t at;
    err_t e = region_map(space, page(first), pages * PAGE_SIZE, PT_WRITE | PT_USER, REGION_ZERO, PT_4K, &at);
    if (e == ERR_OK && now)
        e = region_populate(space, page(first), page(first + pages));
    HOST_CHECK(e == ERR_OK, "mapping %u pages at %u: %d", pages, first, e);
}

/* ---- a copy, while there are changes where it has not been ---- */

/* In the first batch's shootdown: ten pages far ahead become another region. */
static void replace_ahead(struct space *s)
{
    if (s != space || flushes++)
        return;
    err_t e = region_unmap(s, page(3000), page(3010));
    HOST_CHECK(e == ERR_OK, "unmapping ahead of the copy: %d", e);
    map(3000, 10, true);
}

HOST_TEST(what_comes_while_a_copy_is_made_is_shared_as_the_rest)
{
    begin(replace_ahead);
    u64 before = machine_free_frames(); /* `space` has one */
    struct space *copy = machine_space();
    map(0, PAGES, true);
    err_t e = region_clone(space, copy);
    HOST_CHECK(e == ERR_OK && flushes > 1, "the copy: %d, %u flushes", e, flushes);
    machine_before_flush = NULL;
    for (u32 i = 0; i < PAGES; i++) {
        struct region r;
        bool shared = space_query(space, page(i)).prot & PT_SHARED;
        HOST_CHECK(region_query(space, page(i), &r), "page %u has no region", i);
        HOST_CHECK(!shared || r.cow, "page %u is shared, and its region does not say so", i);
    }
    /* One page goes the short way, if its region says that it may. */
    e = region_discard(space, page(3000), page(3001));
    HOST_CHECK(e == ERR_OK, "discarding: %d", e);
    e = region_unmap(space, page(2990), page(3020));
    HOST_CHECK(e == ERR_OK, "unmapping: %d", e);
    region_destroy_all(copy);
    region_destroy_all(space);
    machine_space_end(copy);
    machine_space_end(space);
    HOST_CHECK(machine_free_frames() == before + 1, "%lld frames are missing",
               (long long)(before + 1 - machine_free_frames()));
}

/* ---- an unmap of two regions, while somebody wants what is between them ---- */

static void look_between(struct space *s)
{
    static const u32 look[] = {0, 15, 16, 100, 199, 200, 215};
    if (s != space)
        return;
    flushes++;
    for (u32 i = 0; i < ARRAY_SIZE(look); i++) {
        struct region r;
        HOST_CHECK(region_query(s, page(look[i]), &r) && r.kind == REGION_GOING,
                   "page %u may be mapped while the range around it is being unmapped", look[i]);
    }
    /* Nobody's: the range that goes ends with its last region. */
    struct region r;
    HOST_CHECK(!region_query(s, page(216), &r), "page 216 has a region");
}

HOST_TEST(what_lies_between_two_regions_that_go_is_nobodys_until_both_have_gone)
{
    begin(look_between);
    map(0, 16, true);
    map(200, 16, true);
    err_t e = region_unmap(space, page(0), page(1000));
    HOST_CHECK(e == ERR_OK && flushes > 0, "unmapping: %d, %u flushes", e, flushes);
    machine_before_flush = NULL;
    struct region r;
    for (u32 i = 0; i < 1000; i++)
        HOST_CHECK(!region_query(space, page(i), &r), "page %u still has a region", i);
    map(100, 10, true);
    region_destroy_all(space);
    machine_space_end(space);
}
