/* Regions: a copy of a space, its frames shared until somebody writes; and single frames that come from elsewhere. */
#include "lib/assert.h"
#include "mm/layout.h"
#include "mm/region_internal.h"

/* Leaves that are looked at under one hold of the lock: some hundred microseconds. All of a small program. */
#define CLONE_BATCH 2048u

struct clone {
    struct space *from, *to;
    u32 left;            /* leaves that may still be looked at in this batch */
    vaddr_t first, last; /* of `from`'s pages that lost a right in it */
    struct pt_change change;
};

/* A leaf of `from` becomes a shared one, read-only; the walker may set A and D until it is. */
static void make_shared(struct clone *c, vaddr_t va, u64 *entry, u64 leaf)
{
    struct frame *f = frame_of(pte_page(leaf, 0));
    if (leaf & PTE_SHARED) {
        share_more(f);
        return;
    }
    share_begin(f);
    u64 old = leaf;
    while (!atomic_cmpxchg(entry, &old, (old & ~PTE_WRITE) | PTE_SHARED))
        ;
    pt_change_note(&c->change, old, 0, old & PTE_WRITE);
    if (old & PTE_WRITE) {
        c->first = MIN(c->first, va);
        c->last = va;
    }
}

static err_t clone_leaf(struct clone *c, vaddr_t va, u64 *entry, u64 leaf, const struct region *r)
{
    if (!(leaf & PTE_OWNED))
        return ERR_OK; /* somebody else's memory; the copy finds zeros */
    err_t e = space_charge(c->to, 1);
    if (e != ERR_OK)
        return e;
    paddr_t frame = pte_page(leaf, 0);
    make_shared(c, va, entry, leaf);
    e = pt_map(&c->to->pt, va, frame, PT_4K, (r->prot & ~PT_WRITE) | PT_OWNED | PT_SHARED);
    if (e != ERR_OK) {
        /* `from`'s leaf stays shared, with one owner: its next write finds that out. */
        share_drop(frame_of(frame), frame);
        space_uncharge(c->to, 1);
    }
    return e;
}

/* The pages up to `end` of the copy's region r from *va on, until the end of the batch. */
static err_t clone_pages(struct clone *c, const struct region *r, vaddr_t end, vaddr_t *va)
{
    u32 level;
    u64 leaf, *entry;
    while (c->left && (entry = pt_next_leaf(&c->from->pt, va, end, &level, &leaf))) {
        err_t e;
        c->left--;
        if (level) {
            struct pt_change
                split; /* says the same as before; the flush for its first page forgets the large one */
            e = pt_split(&c->from->pt, *va, (enum pt_size)pt_shift(level), &split);
            if (e != ERR_OK)
                return e;
            continue;
        }
        e = clone_leaf(c, *va, entry, leaf, r);
        if (e != ERR_OK)
            return e;
        *va += PAGE_SIZE;
    }
    return ERR_OK;
}

/* The region of the copy that holds `at`. Between two batches `from` may change: then the copy has what it found first, and goes on
 * with a region of its own where that ends. */
static struct region *copy_of(struct space *to, const struct region *r, vaddr_t at)
{
    struct region *there = region_at(to, at);
    if (there || to->regions->count == REGIONS_MAX)
        return there;
    struct region copy = *r;
    copy.cow = true;
    copy.start = at;
    region_insert(to->regions, &copy);
    return region_at(to, at);
}

static err_t clone_region(struct clone *c, struct region *r, vaddr_t *va)
{
    err_t e = ERR_OK;
    r->cow = true;
    *va = MAX(*va, r->start);
    while (e == ERR_OK && c->left && *va < r->end) {
        const struct region *copy = copy_of(c->to, r, *va);
        if (!copy)
            return ERR_FULL;
        /* The copy's may be longer: what is behind r now came between two batches, and has to become copy-on-write itself first. */
        e = clone_pages(c, copy, MIN(copy->end, r->end), va);
    }
    return e;
}

/* One hold of the lock, one shootdown. *va is where the next one goes on; USER_END when all is done. */
static err_t clone_batch(struct clone *c, vaddr_t *va)
{
    struct tlb_ticket t;
    err_t e = ERR_OK;
    region_open(&t, c->from, *va, USER_END);
    c->left = CLONE_BATCH;
    c->first = USER_END;
    c->last = 0;
    pt_change_begin(&c->change);
    struct region_table *table = c->from->regions;
    for (u32 i = region_index(table, *va); table && i < table->count && c->left && e == ERR_OK; i++)
        if (table->r[i].kind == REGION_ZERO)
            e = clone_region(c, &table->r[i], va);
    if (c->left)
        *va = USER_END;
    pt_change_end(&c->change);
    /* Of what was locked, the part where somebody may still have a writable entry stays in flight. */
    if (c->change.narrowed) {
        t.request.start = c->first;
        t.end = c->last + PAGE_SIZE;
    }
    ticket_close(&t, c->change.narrowed ? TLB_FLUSHED : TLB_NONE, &c->change);
    return e;
}

err_t region_clone(struct space *from, struct space *to)
{
    ASSERT(from != to && !to->regions, "a copy is made in a new space");
    paddr_t p;
    err_t e = frame_alloc_zeroed(FRAME_OWNER_KERNEL, &p);
    if (e != ERR_OK)
        return e;
    to->regions = phys_to_virt(p);
    struct clone c = {.from = from, .to = to};
    for (vaddr_t va = USER_START; e == ERR_OK && va < USER_END;)
        e = clone_batch(&c, &va);
    return e;
}

err_t region_share(struct space *s, vaddr_t va, paddr_t frame)
{
    err_t e = space_charge(s, 1);
    if (e != ERR_OK)
        return e;
    struct tlb_ticket t;
    region_open_adding(&t, s, va, va + PAGE_SIZE);
    struct region *r = region_at(s, va);
    if (r && r->kind == REGION_ZERO)
        e = pt_map(&s->pt, va, frame, PT_4K, (r->prot & ~PT_WRITE) | PT_OWNED | PT_SHARED);
    else
        e = ERR_ABSENT;
    if (e == ERR_OK) {
        share_more(frame_of(frame));
        r->cow = true;
        region_join(s->regions, r->start, r->end);
    } else {
        space_uncharge(s, 1);
    }
    ticket_close(&t, TLB_NONE, NULL); /* not present to present */
    return e;
}
