/* Regions: what a fault brings in. Zeroed frames, and copies of shared ones.
 *
 * Frames are found, zeroed and filled without the lock. So a fault looks under the lock what it needs, gets it, and looks again: meanwhile
 * another CPU may have brought the page in, or the region may be gone. Whoever comes second gives back what it got, so that exactly
 * one frame enters. */
#include "lib/assert.h"
#include "lib/counter.h"
#include "lib/string.h"
#include "lib/x86/cpu.h"
#include "lib/x86/tlb.h"
#include "mm/layout.h"
#include "mm/region_internal.h"

COUNTER(region_faults, "faults that a region explained, and pages brought in at once");
COUNTER(region_fault_races,
        "of these, the page was there already: another CPU was faster, or an entry was stale");
COUNTER(region_large, "2 MiB pages brought in");
COUNTER(region_large_missed,
        "2 MiB pages that had to be 4 KiB pages, for lack of a block or of the space's limit");
COUNTER(region_copies, "copies of copy-on-write pages");
COUNTER(region_widened, "copy-on-write pages whose last owner wrote to them: no copy");

enum step {
    STEP_RETRY,
    STEP_REFUSED,
    STEP_NOMEM,
    STEP_GOING,  /* the region is on its way: look again later */
    STEP_PARKED, /* memory that the space has given up, and is still charged for, is to come back first */
    STEP_4K,     /* a zeroed frame is missing */
    STEP_2M,     /* a zeroed block is missing */
    STEP_COPY,   /* a copy of `source` is missing */
};

struct bring_in {
    struct space *space;
    vaddr_t va;
    struct fault_access access;
    bool populate; /* nobody has faulted: no rights are asked for */
    bool no_large; /* there is no block, or the limit does not allow one */
    bool settled;  /* what was parked has come back, once */
    bool exec;     /* the page may be executed from */
    bool large;    /* the lock is to be taken for the whole 2 MiB */
    paddr_t frame; /* what is there to be mapped, or PADDR_NONE */
    u32 frame_order;
    paddr_t source; /* what `frame` is a copy of, with a count of its owners for us; or PADDR_NONE */
    vaddr_t next;   /* the end of the page that is there now */
    bool copied;    /* a copy has taken the old frame's place: this CPU has forgotten that */
};

static bool allows(const struct region *r, struct fault_access a)
{
    return !(a.write && !(r->prot & PT_WRITE)) && !(a.exec && !(r->prot & PT_EXEC)) &&
           !(a.user && !(r->prot & PT_USER));
}

static bool large_fits(const struct bring_in *b, const struct region *r)
{
    vaddr_t start = ALIGN_DOWN(b->va, 1ull << PT_2M);
    u32 level;
    u64 found;
    if (r->page_size != PT_2M || b->no_large || start < r->start || start + (1ull << PT_2M) > r->end)
        return false;
    pt_find(&b->space->pt, start, 1, &level, &found);
    return !(found & PTE_PRESENT);
}

static enum step map_zeroed(struct bring_in *b, const struct region *r)
{
    bool large = large_fits(b, r);
    enum pt_size size = large ? PT_2M : PT_4K;
    u32 order = large ? FRAME_2M : FRAME_4K;
    /* A copy is not zeroed: it was for a page that has been taken away meanwhile. */
    if (paddr_is_none(b->frame) || b->frame_order != order || !paddr_is_none(b->source))
        return large ? STEP_2M : STEP_4K;
    vaddr_t va = ALIGN_DOWN(b->va, 1ull << size);
    err_t e = space_charge(b->space, 1ull << order);
    if (e == ERR_OK) {
        e = pt_map(&b->space->pt, va, b->frame, size, r->prot | PT_OWNED);
        if (e != ERR_OK)
            space_uncharge(b->space, 1ull << order);
    }
    /* What is charged and mapped nowhere belongs to a ticket on the list: it leaves that under the lock, which is ours, and only after
     * its memory has come back. */
    if (e != ERR_OK && b->space->in_flight && !b->settled)
        return STEP_PARKED;
    if (e != ERR_OK && large) {
        b->no_large = true;
        counter_inc(region_large_missed);
        return STEP_4K;
    }
    if (e != ERR_OK)
        return STEP_NOMEM;
    if (large)
        counter_inc(region_large);
    b->frame = PADDR_NONE;
    b->next = va + (1ull << size);
    return STEP_RETRY;
}

/* The page is there, but does not allow what the region does. */
static enum step write_to_shared(struct bring_in *b, struct tlb_ticket *t, const struct region *r, u64 *entry,
                                 u64 leaf, enum tlb_level *need)
{
    paddr_t old = pte_page(leaf, 0);
    struct frame *f = frame_of(old);
    if (share_is_sole(f)) {
        /* In place. Not a right less for anyone: whoever still has the read-only entry faults once, and finds it stale. The walker
         * may set A meanwhile, and D never on an entry that is not writable: at most two rounds fail. */
        u64 seen = leaf;
        while (!atomic_cmpxchg(entry, &seen, (seen & ~PTE_SHARED) | PTE_WRITE))
            ;
        counter_inc(region_widened);
        return STEP_RETRY;
    }
    if (paddr_is_none(b->frame) || b->frame_order != FRAME_4K || b->source.v != old.v) {
        /* Nobody writes to it while we copy: all its entries have been read-only since region_clone flushed, which ticket_open has waited
         * for. Nobody frees it: we are one of its owners. */
        if (b->source.v != old.v) {
            share_more(f);
            if (!paddr_is_none(b->source))
                share_drop(frame_of(b->source), b->source);
            b->source = old;
        }
        return STEP_COPY;
    }
    u64 was;
    err_t e = pt_remap(&b->space->pt, t->request.start, b->frame, PT_4K, r->prot | PT_OWNED, &was);
    ASSERT(e == ERR_OK && pte_page(was, 0).v == old.v, "a page stays under its lock what it was");
    b->frame = PADDR_NONE;
    b->exec = r->prot & PT_EXEC;
    *need = TLB_FLUSHED; /* others read the old frame, and we are about to write the new one */
    counter_inc(region_copies);
    return STEP_RETRY;
}

static enum step page_is_there(struct bring_in *b, struct tlb_ticket *t, const struct region *r, u64 *entry,
                               u32 level, u64 leaf, enum tlb_level *need)
{
    bool wants_write = b->access.write && !(leaf & PTE_WRITE);
    b->next = (b->va | (pt_span(level) - 1)) + 1;
    /* A page that somebody has mapped with less than the region's rights; not by the functions here. */
    if ((b->access.exec && (leaf & PTE_NX)) || (b->access.user && !(leaf & PTE_USER)))
        return STEP_REFUSED;
    if (!wants_write) {
        counter_inc(region_fault_races);
        return STEP_RETRY;
    }
    return leaf & PTE_SHARED ? write_to_shared(b, t, r, entry, leaf, need) : STEP_REFUSED;
}

/* Under the lock: what the page is, and what is missing. */
static enum step look(struct bring_in *b, struct tlb_ticket *t, enum tlb_level *need)
{
    const struct region *r = region_at(b->space, b->va);
    if (!r)
        return STEP_REFUSED;
    if (r->kind == REGION_GOING)
        return STEP_GOING;
    if (r->kind != REGION_ZERO || (!b->populate && !allows(r, b->access)))
        return STEP_REFUSED;
    u32 level;
    u64 leaf;
    u64 *entry = pt_find(&b->space->pt, b->va, 0, &level, &leaf);
    if (pte_is_leaf(leaf, level))
        return page_is_there(b, t, r, entry, level, leaf, need);
    return map_zeroed(b, r);
}

static void forget_frame(struct bring_in *b)
{
    if (!paddr_is_none(b->frame))
        frame_free(b->frame);
    b->frame = PADDR_NONE;
}

/* As many references of ours, and of the leaf that was replaced, as there are. */
static void forget_source(struct bring_in *b, u32 owners)
{
    for (; owners; owners--)
        share_drop(frame_of(b->source), b->source);
}

static enum step try_once(struct bring_in *b)
{
    static const struct pt_change one = {.leaves = 1, .narrowed = true, .stride = PT_4K};
    u64 span = 1ull << (b->large ? PT_2M : PT_4K);
    vaddr_t start = ALIGN_DOWN(b->va, span);
    enum tlb_level need = TLB_NONE;
    struct tlb_ticket t;
    /* Only a copy that is ready may take something away: the old frame. */
    if (paddr_is_none(b->source))
        ticket_open_adding(&t, b->space, start, start + span);
    else
        ticket_open(&t, b->space, start, start + span);
    enum step s = look(b, &t, &need);
    /* Only a copy needs more than nothing. An executable page may be in a TLB that no write reaches. */
    if (need == TLB_FLUSHED && !b->exec)
        ticket_close_copied(&t, &one);
    else
        ticket_close(&t, need, &one);
    b->copied = need == TLB_FLUSHED;
    /* Copied, and nobody reaches the old frame by our translation any more: it loses its owner here. */
    if (need == TLB_FLUSHED)
        forget_source(b, 1);
    return s;
}

/* A program that gives up what it has, and then takes as much, is to find it, whether or not the policy in force frees it at once. Only
 * what was in flight by then is waited for, and once: other threads may go on giving up memory for ever. */
static COLD void settle(struct bring_in *b)
{
    shootdown_settle(b->space, 0);
    b->settled = true;
}

static err_t alloc_page(struct bring_in *b)
{
    err_t e = frame_alloc(FRAME_OWNER_USER, &b->frame);
    if (unlikely(e != ERR_OK) && shootdown_reclaim())
        e = frame_alloc(FRAME_OWNER_USER, &b->frame);
    return e;
}

/* Gets what is missing. False: there is no memory. */
static bool provide(struct bring_in *b, enum step s)
{
    err_t e;
    if (s == STEP_PARKED) {
        settle(b);
        return true;
    }
    forget_frame(b);
    b->large = false;
    if (s != STEP_COPY && !paddr_is_none(b->source)) {
        forget_source(b, 1); /* the page that was to be copied has gone */
        b->source = PADDR_NONE;
    }
    if (s == STEP_2M) {
        e = frame_alloc_order(FRAME_2M, FRAME_OWNER_USER, &b->frame);
        b->frame_order = FRAME_2M;
        if (e == ERR_OK) {
            memset(phys_to_virt(b->frame), 0, PAGE_SIZE << FRAME_2M);
            b->large = true;
            return true;
        }
        counter_inc(region_large_missed);
        b->no_large = true;
        b->frame = PADDR_NONE;
    }
    e = alloc_page(b);
    b->frame_order = FRAME_4K;
    if (e != ERR_OK) {
        b->frame = PADDR_NONE;
        return false;
    }
    if (s == STEP_COPY)
        memcpy(phys_to_virt(b->frame), phys_to_virt(b->source), PAGE_SIZE);
    else
        memset(phys_to_virt(b->frame), 0, PAGE_SIZE);
    return true;
}

static enum step bring_in(struct bring_in *b)
{
    enum step s;
    while ((s = try_once(b)) >= STEP_PARKED)
        if (!provide(b, s)) {
            s = STEP_NOMEM;
            break;
        }
    forget_frame(b);
    if (!paddr_is_none(b->source))
        forget_source(b, 1);
    if (s == STEP_RETRY)
        counter_inc(region_faults);
    return s;
}

enum fault_result region_fault(struct space *s, vaddr_t va, struct fault_access access)
{
    struct bring_in b = {.space = s, .va = va, .access = access, .frame = PADDR_NONE, .source = PADDR_NONE};
    if (va >= USER_END)
        return FAULT_REFUSED;
    switch (bring_in(&b)) {
    case STEP_RETRY:
        /* Whatever this CPU had of the page, it is to look again; a copy's shootdown has seen to that. */
        if (!b.copied)
            invlpg(va);
        return FAULT_RETRY;
    case STEP_GOING:
        cpu_pause();
        return FAULT_RETRY; /* it faults again, until the region has arrived or is gone */
    case STEP_NOMEM:
        return FAULT_NOMEM;
    default:
        return FAULT_REFUSED;
    }
}

err_t region_populate(struct space *s, vaddr_t start, vaddr_t end)
{
    err_t e = region_check_range(start, end);
    for (vaddr_t va = start; e == ERR_OK && va < end;) {
        struct bring_in b = {
            .space = s, .va = va, .populate = true, .frame = PADDR_NONE, .source = PADDR_NONE};
        enum step step = bring_in(&b);
        if (step == STEP_NOMEM)
            e = ERR_NOMEM;
        else if (step == STEP_REFUSED)
            e = ERR_ABSENT;
        else if (step == STEP_GOING)
            cpu_pause();
        else
            va = b.next;
    }
    return e;
}
