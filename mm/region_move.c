/* Regions: moving one, with its pages, and the harvest of accessed and dirty bits.
 *
 * A page that moves must not be reachable at both addresses: a CPU that still has the old translation would write to what the new
 * owner of the address range, or of the frame, takes for its own (CVE-2018-18281: the flush came after another CPU could already unmap the
 * pages at their new place, and free them). So the leaves are taken out, FLUSHED, and only then put in. Meanwhile both ranges are
 * REGION_GOING: faults there are repeated, and every other operation waits. */
#include "lib/assert.h"
#include "mm/layout.h"
#include "mm/region_internal.h"

_Static_assert((u32)PT_AGE_PRESENT == REGION_PAGE_PRESENT && (u32)PT_AGE_ACCESSED == REGION_PAGE_ACCESSED &&
                   (u32)PT_AGE_DIRTY == REGION_PAGE_DIRTY,
               "pt_harvest's bytes are the callers'");

struct move {
    struct space *space;
    vaddr_t from, to;
    u64 bytes;
    struct region before; /* what the region was, cut to the range */
    u64 *leaf;            /* a frame: those that are on their way, of one batch */
};

static err_t check_move(vaddr_t va, u64 bytes, vaddr_t to)
{
    if (!bytes || bytes > USER_END || va > USER_END - bytes || to > USER_END - bytes)
        return bytes ? ERR_RANGE : ERR_INVAL;
    err_t e = region_check_range(va, va + bytes);
    if (e == ERR_OK)
        e = region_check_range(to, to + bytes);
    return e == ERR_OK && va < to + bytes && to < va + bytes ? ERR_EXIST : e;
}

/* The same under the lock, with the regions. */
static err_t check_regions(struct move *m)
{
    const struct region_table *t = m->space->regions;
    const struct region *r = region_at(m->space, m->from);
    if (!r || r->kind != REGION_ZERO || r->end < m->from + m->bytes)
        return ERR_ABSENT;
    if (!IS_ALIGNED(m->to - m->from, 1ull << r->page_size))
        return ERR_INVAL;
    u32 i = region_index(t, m->to);
    if (i < t->count && t->r[i].start < m->to + m->bytes)
        return ERR_EXIST;
    u32 more = 1 + (r->start < m->from) + (r->end > m->from + m->bytes);
    if (t->count + more > REGIONS_MAX)
        return ERR_FULL;
    m->before = *r;
    m->before.start = m->from;
    m->before.end = m->from + m->bytes;
    return ERR_OK;
}

/* Tables for all leaves at their new places, while they are still at their old ones. */
static err_t prepare_tables(struct move *m)
{
    u32 level;
    u64 leaf;
    for (vaddr_t va = m->from; pt_next_leaf(&m->space->pt, &va, m->from + m->bytes, &level, &leaf);
         va += pt_span(level)) {
        err_t e = pt_prepare(&m->space->pt, va - m->from + m->to, (enum pt_size)pt_shift(level));
        if (e == ERR_EXIST) {
            /* Small pages were there once, and a discard has left their empty table, which a large one cannot use. */
            struct pt_change change;
            ASSERT(level, "nothing is mapped where no region is");
            e = pt_split(&m->space->pt, va, (enum pt_size)pt_shift(level), &change);
            level = 0;
            if (e == ERR_OK)
                e = pt_prepare(&m->space->pt, va - m->from + m->to, PT_4K);
        }
        if (e != ERR_OK)
            return e;
    }
    return ERR_OK;
}

/* Marks both ranges, or does nothing. Large pages at the ends stay split in any case: that says the same as before. */
static err_t begin_move(struct move *m)
{
    struct tlb_ticket t;
    struct space_taken none;
    struct pt_change change = {0};
    vaddr_t from_end = m->from + m->bytes, to_end = m->to + m->bytes;
    /* Waits for changes in flight and regions on their way at either place. */
    region_open(&t, m->space, MIN(m->from, m->to), MAX(from_end, to_end));
    space_taken_begin(&none, &t, NULL, 0);
    t.request.start = m->to;
    t.end = to_end;
    err_t e = check_regions(m);
    if (e == ERR_OK)
        e = pt_split_edges(&m->space->pt, m->from, from_end - 1);
    if (e == ERR_OK) {
        e = prepare_tables(m);
        if (e != ERR_OK) {
            pt_unprepare(&m->space->pt, m->to, to_end);
            err_t undo = pt_unmap(&m->space->pt, m->to, to_end, NULL, &change);
            ASSERT(undo == ERR_OK && !change.leaves, "nothing is mapped where no region is");
        }
    }
    if (e == ERR_OK) {
        struct region going = m->before;
        going.kind = REGION_GOING;
        going.start = m->to;
        going.end = to_end;
        region_cut(m->space->regions, m->from, from_end);
        region_at(m->space, m->from)->kind = REGION_GOING;
        region_insert(m->space->regions, &going);
    }
    space_taken_close(&none, &change, TLB_NONE);
    return e;
}

/* Takes leaves out, from *va on, as many as there is room for; FLUSHED when it returns. Returns how many. */
static u32 take_batch(struct move *m, vaddr_t *va, vaddr_t at[], u32 max)
{
    struct tlb_ticket t;
    struct pt_change change;
    u32 level, n = 0;
    u64 leaf, *entry;
    vaddr_t end = m->from + m->bytes;
    ticket_open(&t, m->space, *va, end);
    pt_change_begin(&change);
    for (; n < max && (entry = pt_next_leaf(&m->space->pt, va, end, &level, &leaf)); *va += pt_span(level)) {
        at[n] = *va | level; /* page aligned */
        m->leaf[n++] = pt_leaf_take(entry, *va, level);
        tlb_ghost_leaf_gone(&m->space->pt, *va, level, leaf);
        pt_change_note(&change, leaf, level, true);
    }
    pt_change_end(&change);
    if (n)
        t.end = *va;
    ticket_close(&t, n ? TLB_FLUSHED : TLB_NONE, &change);
    return n;
}

static void put_batch(struct move *m, const vaddr_t at[], u32 n)
{
    struct tlb_ticket t;
    ticket_open_adding(&t, m->space, m->to, m->to + m->bytes);
    for (u32 i = 0; i < n; i++)
        pt_put(&m->space->pt, ALIGN_DOWN(at[i], PAGE_SIZE) - m->from + m->to, at[i] & (PAGE_SIZE - 1),
               m->leaf[i]);
    ticket_close(&t, TLB_NONE, NULL); /* not present to present */
}

static void end_move(struct move *m)
{
    struct tlb_ticket t;
    struct space_taken none;
    struct pt_change change;
    ticket_open(&t, m->space, m->from, m->from + m->bytes);
    space_taken_begin(&none, &t, NULL, 0);
    /* What is left there are empty tables. */
    err_t e = pt_unmap(&m->space->pt, m->from, m->from + m->bytes, NULL, &change);
    ASSERT(e == ERR_OK && !change.leaves, "all pages have moved, and nobody brings others in");
    space_taken_close(&none, &change, TLB_NONE);

    region_lock(m->space);
    struct region_table *table = m->space->regions;
    region_remove(table, m->from, m->from + m->bytes);
    region_at(m->space, m->to)->kind = REGION_ZERO;
    region_join(table, m->to, m->to + m->bytes);
    region_unlock(m->space);
}

err_t region_move(struct space *s, vaddr_t va, u64 bytes, vaddr_t to)
{
    paddr_t scratch;
    struct move m = {.space = s, .from = va, .to = to, .bytes = bytes};
    err_t e = check_move(va, bytes, to);
    if (e == ERR_OK)
        e = frame_alloc(FRAME_OWNER_KERNEL, &scratch);
    if (e != ERR_OK)
        return e;
    /* Half of it for the leaves, half for where they were. */
    m.leaf = phys_to_virt(scratch);
    vaddr_t *at = m.leaf + PT_ENTRIES / 2;
    e = begin_move(&m);
    if (e == ERR_OK) {
        while (va < m.from + bytes)
            put_batch(&m, at, take_batch(&m, &va, at, PT_ENTRIES / 2));
        end_move(&m);
    }
    frame_free(scratch);
    return e;
}

err_t region_harvest(struct space *s, vaddr_t start, vaddr_t end, u8 *out)
{
    struct tlb_ticket t;
    struct space_taken none;
    struct pt_change change = {0};
    err_t e = region_check_range(start, end);
    if (e != ERR_OK)
        return e;
    region_open(&t, s, start, end);
    space_taken_begin(&none, &t, NULL, 0);
    e = region_covers(s->regions, start, end) ? pt_harvest(&s->pt, start, end, out, &change) : ERR_ABSENT;
    /* Until a CPU has forgotten the page, it does not set the bits again (SDM volume 3A, section 4.8): the next harvest would find
     * a page in use idle, and one that is written clean. */
    enum tlb_level need = space_taken_close(&none, &change, TLB_FLUSHED);
    if (e == ERR_OK && need == TLB_NONE)
        ticket_wait_earlier(s, TLB_FLUSHED);
    return e;
}
