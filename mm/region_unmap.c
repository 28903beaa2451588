/* Regions: taking pages away, with their region or without. */
#include "lib/assert.h"
#include "mm/frame_internal.h"
#include "mm/layout.h"
#include "mm/region_internal.h"

/* Shared frames that one shootdown takes away: their numbers lie on the kernel stack (2 KiB), because they cannot be chained through
 * their descriptors as others are, and giving memory back must not need memory. As many as a page table maps, so that no large page
 * reaches from one piece into the next. */
#define SHARED_BATCH PT_ENTRIES

/* The end of what one ticket takes of a region with shared frames: what one table maps, or else all the nothing up to the next table,
 * however much: a program may have most of the address space without a page in it. Lock held. */
static vaddr_t shared_piece_end(const struct pt *pt, vaddr_t va, vaddr_t end)
{
    u32 level;
    u64 e;
    vaddr_t next = va;
    do {
        pt_find(pt, next, 0, &level, &e);
        if (!level || pte_is_leaf(e, level))
            break;
        next = ALIGN_DOWN(next, pt_span(level)) + pt_span(level);
    } while (next < end);
    return MIN(end, next > va ? next : ALIGN_DOWN(va, 1ull << PT_2M) + (1ull << PT_2M));
}

static NOINLINE void unmap_piece(struct space *s, vaddr_t start, vaddr_t end, bool cow)
{
    u32 shared[SHARED_BATCH];
    struct tlb_ticket t;
    struct space_taken taken;
    struct pt_change change;
    ticket_open(&t, s, start, end);
    t.lax = TLB_LAX;
    space_taken_begin(&taken, &t, shared, cow ? SHARED_BATCH : 0);
    err_t e = pt_unmap(&s->pt, start, end, &taken.visitor, &change);
    ASSERT(e == ERR_OK, "large pages that reach across the ends have been split before");
    space_taken_close(&taken, &change, TLB_ENTERED);
}

/* The next regions at or above *va that can go by one ticket: *va becomes their start, their end is returned, `end` at most.
 * *cow: what of them. */
static vaddr_t next_run(struct space *s, vaddr_t *va, vaddr_t end, bool *cow)
{
    region_lock(s);
    const struct region_table *t = s->regions;
    u32 i = region_index(t, *va);
    vaddr_t run_end = end;
    if (i < t->count && t->r[i].start < end) {
        *va = MAX(*va, t->r[i].start);
        *cow = t->r[i].cow;
        for (; i < t->count && t->r[i].start < end && t->r[i].cow == *cow; i++) {
            run_end = MIN(t->r[i].end, end);
            if (*cow)
                break; /* it goes in pieces, and none is to be spent on what lies between two */
        }
    } else {
        *va = end;
    }
    region_unlock(s);
    return run_end;
}

/* Marks what is to go, and whatever is free in between, so that nobody else touches it: [*from, *to) is ours. False: there is no region in the
 * range; or *e is an error, and nothing was done. */
static bool begin_unmap(struct space *s, vaddr_t start, vaddr_t end, vaddr_t *from, vaddr_t *to, err_t *e)
{
    struct tlb_ticket t;
    region_open_adding(&t, s, start, end);
    struct region_table *table = s->regions;
    u32 i = region_index(table, start);
    bool any = table && i < table->count && table->r[i].start < end;
    *e = !any || region_can_cut(table, start, end) ? ERR_OK : ERR_FULL;
    /* Says the same of every address as before, so nobody has to forget anything; a flush of any page of a large one forgets that. */
    if (any && *e == ERR_OK)
        *e = pt_split_edges(&s->pt, start, end - 1);
    if (any && *e == ERR_OK) {
        region_cut(table, start, end);
        struct region *r = &table->r[i], *last = &table->r[table->count - 1];
        r += r->start < start; /* what was before it is one of its own now */
        *from = r->start;
        for (r->kind = REGION_GOING; r < last && r[1].start < end; r->kind = REGION_GOING) {
            r->end = r[1].start; /* or a new region there would lose its pages, or go with these */
            r++;
        }
        *to = r->end;
    }
    ticket_close(&t, TLB_NONE, NULL);
    return any && *e == ERR_OK;
}

static void unmap_range(struct space *s, vaddr_t start, vaddr_t end)
{
    for (vaddr_t va = start; va < end;) {
        bool cow = false;
        vaddr_t run_end = next_run(s, &va, end, &cow);
        for (vaddr_t next; va < run_end; va = next) {
            next = run_end;
            if (cow) {
                region_lock(s);
                next = shared_piece_end(&s->pt, va, run_end);
                region_unlock(s);
            }
            unmap_piece(s, va, next, cow);
        }
    }
    region_lock(s);
    region_remove(s->regions, start, end);
    region_unlock(s);
}

err_t region_unmap(struct space *s, vaddr_t start, vaddr_t end)
{
    vaddr_t from = start, to = end;
    err_t e = region_check_range(start, end);
    if (e == ERR_OK && begin_unmap(s, start, end, &from, &to, &e))
        unmap_range(s, from, to);
    return e;
}

void region_destroy_all(struct space *s)
{
    if (!s->regions)
        return;
    err_t e = region_unmap(s, USER_START, USER_END - PAGE_SIZE);
    ASSERT(e == ERR_OK && s->regions->count == 0, "whole regions go without a split");
    frame_free(virt_to_phys(s->regions));
    s->regions = NULL;
}

/* One page, the hot path of everything that gives memory back: straight to its leaf. False: it takes the long way. */
static ALWAYS_INLINE bool discard_page(struct space *s, vaddr_t va)
{
    struct tlb_ticket t;
    u64 old;
    ticket_open(&t, s, va, va + PAGE_SIZE);
    const struct region *r = region_at(s, va);
    if (unlikely(!r || r->kind != REGION_ZERO || r->cow || !pt_discard_page(&s->pt, va, &old))) {
        ticket_close(&t, TLB_NONE, NULL);
        return false;
    }
    paddr_t p = pte_page(old, 0);
    if (likely(old & PTE_OWNED)) {
        struct frame *f = frame_at(frame_number(p));
        t.lax = TLB_LAX_UNTIL_USER;
        atomic_fetch_sub(&f->mappings, 1);
        ticket_park_frame(&t, f, p);
    } else {
        pt_count_leaf(va, p, PT_ONE_LESS);
    }
    ticket_close_page(&t);
    return true;
}

static bool covers_zero(const struct region_table *t, vaddr_t start, vaddr_t end)
{
    for (u32 i = region_index(t, start); t && i < t->count && t->r[i].start < end; i++)
        if (t->r[i].kind != REGION_ZERO)
            return false;
    return true;
}

/* Discards from va on, up to *next. `check`: it is the first piece, and the range is looked at as a whole. */
static NOINLINE err_t discard_piece(struct space *s, vaddr_t va, vaddr_t end, bool check, vaddr_t *next)
{
    u32 shared[SHARED_BATCH];
    struct tlb_ticket t;
    struct space_taken taken;
    struct pt_change change = {0};
    region_open(&t, s, va, end);
    t.lax = TLB_LAX_UNTIL_USER;
    space_taken_begin(&taken, &t, shared, SHARED_BATCH);
    const struct region *r = region_at(s, va);
    err_t e = !r || (check && !region_covers(s->regions, va, end))          ? ERR_ABSENT
              : r->kind != REGION_ZERO || !covers_zero(s->regions, va, end) ? ERR_INVAL
                                                                            : ERR_OK;
    if (e == ERR_OK)
        e = pt_split_edges(&s->pt, va, end - 1);
    if (e == ERR_OK) {
        vaddr_t last = MIN(end, r->end);
        *next = t.end = r->cow ? shared_piece_end(&s->pt, va, last) : last;
        e = pt_discard(&s->pt, va, t.end, &taken.visitor, &change);
    }
    enum tlb_level need = space_taken_close(&taken, &change, TLB_ENTERED);
    /* Nothing was there: perhaps taken by a change that others have not finished. */
    if (e == ERR_OK && need == TLB_NONE)
        ticket_wait_earlier(s, TLB_ENTERED);
    return e;
}

static COLD err_t discard_range(struct space *s, vaddr_t start, vaddr_t end)
{
    err_t e = region_check_range(start, end);
    for (vaddr_t va = start, next; e == ERR_OK && va < end; va = next)
        e = discard_piece(s, va, end, va == start, &next);
    return e;
}

err_t region_discard(struct space *s, vaddr_t start, vaddr_t end)
{
    if (likely(end - start == PAGE_SIZE && IS_ALIGNED(start, PAGE_SIZE)) && likely(discard_page(s, start)))
        return ERR_OK;
    return discard_range(s, start, end);
}
