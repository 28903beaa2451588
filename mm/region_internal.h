/* What the region*.c files share: the table of a space, and what an operation takes out of its page tables. */
#pragma once

#include "mm/pt_internal.h"
#include "mm/region.h"
#include "mm/share.h"

/* One frame, allocated with the first region. All under the space's lock. */
struct region_table {
    u32 count;
    u32 found; /* index that region_at found last: operations come in runs on one region */
    struct region r[REGIONS_MAX];
};
_Static_assert(sizeof(struct region_table) <= PAGE_SIZE, "one frame a space");

/* ---- mm/region_table.c; space's lock held, unless it says otherwise; a space without a table has no regions ---- */

/* Index of the first region that ends above va; count: none. */
u32 region_index(const struct region_table *t, vaddr_t va);
/* The region that holds va, or NULL. */
static ALWAYS_INLINE struct region *region_at(struct space *s, vaddr_t va)
{
    struct region_table *t = s->regions;
    if (unlikely(!t))
        return NULL;
    struct region *r = &t->r[t->found];
    if (likely(r->start <= va && va < r->end)) /* an index beyond count holds an empty one */
        return r;
    u32 i = region_index(t, va);
    if (i == t->count || t->r[i].start > va)
        return NULL;
    t->found = i;
    return &t->r[i];
}
/* Has every page of the range a region? */
bool region_covers(const struct region_table *t, vaddr_t start, vaddr_t end);
/* Is there room for the pieces, if regions are cut at these addresses? */
bool region_can_cut(const struct region_table *t, vaddr_t start, vaddr_t end);
/* No region reaches across start or end afterwards. There is room. */
void region_cut(struct region_table *t, vaddr_t start, vaddr_t end);
/* There is room, and nothing overlaps. */
void region_insert(struct region_table *t, const struct region *r);
/* All within the range go; none reaches across its ends. */
void region_remove(struct region_table *t, vaddr_t start, vaddr_t end);
/* Neighbours within or at the ends of the range that say the same become one. */
void region_join(struct region_table *t, vaddr_t start, vaddr_t end);

/* Opens a ticket (mm/shootdown.h) when neither a change in flight nor a region on its way overlaps the range. */
void region_open(struct tlb_ticket *t, struct space *s, vaddr_t start, vaddr_t end);
/* The same where nothing is taken away. */
void region_open_adding(struct tlb_ticket *t, struct space *s, vaddr_t start, vaddr_t end);
/* The space's lock for the regions alone: where no page table is looked at. */
void region_lock(struct space *s);
void region_unlock(struct space *s);

/* ERR_INVAL: not whole pages, or empty; ERR_RANGE: not in what regions may be. */
err_t region_check_range(vaddr_t start, vaddr_t end) MUST_CHECK;

/* ---- mm/space_ops.c ---- */

/* What a change took out of the tables. Owned frames go onto the ticket; shared ones are noted, up to a number that the caller
 * bounds by the size of the range, and dropped when the ticket is closed; memory that is not ordinary RAM, or was not mapped write-back, is
 * remembered, because its reuse must wait for the flush itself. */
struct space_taken {
    struct pt_visitor visitor;
    struct tlb_ticket *ticket;
    bool special;
    u32 shared_count, shared_max;
    u32 *shared; /* frame numbers */
};
void space_taken_begin(struct space_taken *c, struct tlb_ticket *t, u32 *shared, u32 shared_max);
/* Closes the ticket with the level that the change needs, at least `for_leaves` if a right went; then nobody reaches the shared frames
 * through this space, and they are dropped. Returns that level. */
enum tlb_level space_taken_close(struct space_taken *c, const struct pt_change *change,
                                 enum tlb_level for_leaves);
