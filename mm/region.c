/* Regions: making them, and changing their rights. */
#include "mm/region.h"

#include "lib/assert.h"
#include "mm/layout.h"
#include "mm/region_internal.h"

#define RIGHTS (PT_WRITE | PT_EXEC | PT_USER)

/* The frame for the first region of a space; nothing if it has one. */
static err_t need_table(struct space *s)
{
    if (atomic_load_relaxed(&s->regions))
        return ERR_OK;
    paddr_t p;
    err_t e = frame_alloc_zeroed(FRAME_OWNER_KERNEL, &p);
    if (e != ERR_OK)
        return e;
    region_lock(s);
    bool used = !s->regions;
    if (used)
        atomic_store_relaxed(&s->regions, (struct region_table *)phys_to_virt(p));
    region_unlock(s);
    if (!used)
        frame_free(p); /* another CPU was faster */
    return ERR_OK;
}

/* The lowest free place from USER_MAP_BASE on; 0: none. A range that is being unmapped still has its regions, which cover what was free
 * between them, so it is not free; one that was unmapped by a policy that defers is, while other CPUs may still have its entries. */
static vaddr_t find_place(const struct region_table *t, u64 bytes, u64 align)
{
    vaddr_t va = ALIGN_UP(USER_MAP_BASE, align);
    for (u32 i = region_index(t, va); i < t->count && t->r[i].start < va + bytes; i++)
        va = ALIGN_UP(MAX(va, t->r[i].end), align);
    return va + bytes <= USER_END - PAGE_SIZE ? va : 0;
}

static vaddr_t choose_place(struct space *s, u64 bytes, u64 align)
{
    region_lock(s);
    vaddr_t at = find_place(s->regions, bytes, align);
    region_unlock(s);
    return at;
}

static err_t check_map(vaddr_t va, u64 bytes, u32 prot, enum region_kind kind, enum pt_size page_size)
{
    u64 align = 1ull << page_size;
    if ((prot & ~RIGHTS) || kind == REGION_GOING || (page_size != PT_4K && page_size != PT_2M) ||
        !IS_ALIGNED(va | bytes, align) || !bytes)
        return ERR_INVAL;
    if (bytes > USER_END || va > USER_END - bytes)
        return ERR_RANGE;
    return va ? region_check_range(va, va + bytes) : ERR_OK;
}

err_t region_map(struct space *s, vaddr_t va, u64 bytes, u32 prot, enum region_kind kind,
                 enum pt_size page_size, vaddr_t *out)
{
    err_t e = check_map(va, bytes, prot, kind, page_size);
    if (e == ERR_OK)
        e = need_table(s);
    if (e != ERR_OK)
        return e;

    struct tlb_ticket t;
    struct region_table *table = s->regions;
    /* The ticket waits for changes in flight there: the new region's first pages come without a flush, and whoever still had an entry
     * from before would go on using the old frame. */
    do {
        vaddr_t at = va ? va : choose_place(s, bytes, 1ull << page_size);
        if (!at)
            return ERR_RANGE;
        region_open_adding(&t, s, at, at + bytes);
        u32 i = region_index(table, at);
        e = table->count == REGIONS_MAX                          ? ERR_FULL
            : i < table->count && table->r[i].start < at + bytes ? ERR_EXIST
                                                                 : ERR_OK;
        if (e == ERR_OK) {
            struct region r = {
                .start = at, .end = at + bytes, .prot = prot, .kind = (u8)kind, .page_size = (u8)page_size};
            region_insert(table, &r);
            region_join(table, r.start, r.end);
            *out = at;
        }
        ticket_close(&t, TLB_NONE, NULL);
    } while (!va && e == ERR_EXIST); /* somebody else was faster: another place */
    return e;
}

/* Whoever made a fixed region decided what may be done there. */
static bool widens_fixed(const struct region_table *t, vaddr_t start, vaddr_t end, u32 prot)
{
    for (u32 i = region_index(t, start); i < t->count && t->r[i].start < end; i++)
        if (t->r[i].kind == REGION_FIXED && (prot & ~t->r[i].prot))
            return true;
    return false;
}

static err_t check_protect(const struct region_table *t, vaddr_t start, vaddr_t end, u32 prot)
{
    if (!region_covers(t, start, end))
        return ERR_ABSENT;
    if (widens_fixed(t, start, end, prot))
        return ERR_INVAL;
    return region_can_cut(t, start, end) ? ERR_OK : ERR_FULL;
}

err_t region_protect(struct space *s, vaddr_t start, vaddr_t end, u32 prot)
{
    err_t e = prot & ~RIGHTS ? ERR_INVAL : region_check_range(start, end);
    if (e != ERR_OK)
        return e;

    struct tlb_ticket t;
    struct space_taken none;
    struct pt_change change = {0};
    region_open(&t, s, start, end);
    space_taken_begin(&none, &t, NULL, 0);
    struct region_table *table = s->regions;
    e = check_protect(table, start, end, prot);
    if (e == ERR_OK)
        e = pt_protect(&s->pt, start, end, prot, NULL, &change);
    if (e == ERR_OK) {
        region_cut(table, start, end);
        for (u32 i = region_index(table, start); i < table->count && table->r[i].start < end; i++)
            table->r[i].prot = prot;
        region_join(table, start, end);
    }
    enum tlb_level need = space_taken_close(&none, &change, TLB_FLUSHED);
    /* Rights that were gone already: perhaps by a change that others have not finished. */
    if (e == ERR_OK && need == TLB_NONE)
        ticket_wait_earlier(s, TLB_FLUSHED);
    return e;
}

err_t region_merge(struct space *s, vaddr_t va)
{
    vaddr_t end = va + (1ull << PT_2M);
    err_t e = IS_ALIGNED(va, 1ull << PT_2M) ? region_check_range(va, end) : ERR_INVAL;
    if (e != ERR_OK)
        return e;

    struct tlb_ticket t;
    struct space_taken none;
    struct pt_change change = {0};
    region_open(&t, s, va, end);
    space_taken_begin(&none, &t, NULL, 0);
    const struct region *r = region_at(s, va);
    if (!r || r->kind != REGION_ZERO || r->end < end)
        e = ERR_ABSENT;
    else
        e = pt_merge(&s->pt, va, PT_2M, &change);
    /* The table goes, so this is WALKERS: every CPU forgets the 512 small entries too. Were one left, the flush of the large page by one
     * INVLPG would not find it. */
    space_taken_close(&none, &change, TLB_NONE);
    return e;
}
