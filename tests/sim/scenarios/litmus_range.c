/* Where a change begins and ends: neighbours, the full-flush ceiling, borders of page tables, the ends of the user half. */
#include "mm/layout.h"
#include "tests/sim/litmus.h"

#define RW (PT_USER | PT_WRITE)

static void ceiling_of(u32 n)
{
    shootdown_ceiling = n;
}

static void use_pages(vaddr_t va, u32 n)
{
    for (u32 i = 0; i < n; i++)
        sim_use(va + i * PAGE_SIZE, SIM_WRITE);
}

LITMUS(litmus_neighbours, "the pages before and behind an unmapped one stay", pages(3, RW),
       sim_unmap(space, PAGE(1), 1), use_pages(SIM_VA, 3), .control = true);

LITMUS(litmus_below_ceiling, "a range one page below the ceiling", (ceiling_of(3), pages(3, RW)),
       sim_unmap(space, SIM_VA, 2), use_pages(SIM_VA, 3), .control = true);

LITMUS(litmus_at_ceiling, "a range of as many pages as the ceiling", (ceiling_of(3), pages(4, RW)),
       sim_unmap(space, SIM_VA, 3), use_pages(SIM_VA, 4), .control = true);

LITMUS(litmus_above_ceiling, "a range one page above the ceiling", (ceiling_of(2), pages(4, RW)),
       sim_unmap(space, SIM_VA, 3), use_pages(SIM_VA, 4), .control = true);

LITMUS(litmus_ceiling_of_one, "two pages where only one is flushed by itself, their rights narrowed",
       (ceiling_of(1), pages(3, RW)), sim_protect(space, SIM_VA, 2, PT_USER), use_pages(SIM_VA, 3),
       .control = true);

/* A page stays on each side, so that no table goes and the leaves alone count. */
#define ACROSS(border) sim_map(space, (border)-2 * PAGE_SIZE, 4, RW)
LITMUS(litmus_across_tables, "a range across two page tables, which stay", ACROSS(SIM_VA + 2 * MIB),
       sim_unmap(space, SIM_VA + 2 * MIB - PAGE_SIZE, 2), use_pages(SIM_VA + 2 * MIB - 2 * PAGE_SIZE, 4),
       .control = true);

LITMUS(litmus_across_directories, "a range across two page directories, which stay", ACROSS(SIM_VA + GIB),
       sim_unmap(space, SIM_VA + GIB - PAGE_SIZE, 2), use_pages(SIM_VA + GIB - 2 * PAGE_SIZE, 4),
       .control = true);

#define BORDER (ALIGN_DOWN(SIM_VA, 512 * GIB) + 512 * GIB)
LITMUS(litmus_across_root, "a range across two entries of the root, which stay", ACROSS(BORDER),
       sim_unmap(space, BORDER - PAGE_SIZE, 2), use_pages(BORDER - 2 * PAGE_SIZE, 4), .control = true);

LITMUS(litmus_across_and_freed, "a range across two entries of the root, with all the tables below",
       sim_map(space, BORDER - PAGE_SIZE, 2, RW), sim_unmap(space, BORDER - PAGE_SIZE, 2),
       use_pages(BORDER - PAGE_SIZE, 2));

LITMUS(litmus_first_page, "the first page of the user half", sim_map(space, USER_START, 2, RW),
       sim_unmap(space, USER_START, 1), use_pages(USER_START, 2), .control = true);

LITMUS(litmus_last_page, "the last page below the canonical hole",
       sim_map(space, USER_END - 2 * PAGE_SIZE, 2, RW), sim_unmap(space, USER_END - PAGE_SIZE, 1),
       use_pages(USER_END - 2 * PAGE_SIZE, 2), .control = true);

/* A large page and two small ones behind it, in one range; a third small one stays, and with it their table. */
static void two_sizes(void)
{
    paddr_t p;
    SIM_CHECK(frame_alloc_order(FRAME_2M, FRAME_OWNER_USER, &p) == ERR_OK, "no block");
    SIM_CHECK(space_map(space, SIM_VA, p, 2 * MIB, PT_2M, RW) == ERR_OK, "no mapping");
    sim_watch(space, SIM_VA + MIB);
    sim_map(space, SIM_VA + 2 * MIB, 3, RW);
    ceiling_of(1024);
}
LITMUS(litmus_two_sizes, "a range with pages of two sizes is flushed in steps of the smaller", two_sizes(),
       sim_unmap(space, SIM_VA, 514), (use_pages(SIM_VA + 2 * MIB, 3), sim_use(SIM_VA + MIB, SIM_WRITE)),
       .control = true, .one_policy = true, .slow = true);
