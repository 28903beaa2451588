/* What changes a space's translations: each operation is one ticket. */
#include "lib/assert.h"
#include "lib/context.h"
#include "lib/features.h"
#include "mm/layout.h"
#include "mm/region_internal.h"

static err_t check_range(const struct space *s, vaddr_t start, vaddr_t end)
{
    if (!IS_ALIGNED(start, PAGE_SIZE) || !IS_ALIGNED(end, PAGE_SIZE) || start >= end)
        return ERR_INVAL;
    if (s == &kernel_space)
        return start >= KMAP_DYNAMIC_BASE && end <= KMAP_DYNAMIC_BASE + KMAP_DYNAMIC_SIZE ? ERR_OK
                                                                                          : ERR_RANGE;
    return start >= USER_START && end <= USER_END ? ERR_OK : ERR_RANGE;
}

/* A global entry outlives every load of CR3, and with it space_load and a whole flush of a user half. */
static bool may_be_global(const struct space *s, u32 prot)
{
    return s == &kernel_space || !(prot & PT_GLOBAL);
}

/* The kernel's pages always are, where the machine has it: else INVLPG would reach the copy of one PCID only. */
static u32 leaf_prot(const struct space *s, u32 prot)
{
    return s == &kernel_space && features.pge ? prot | PT_GLOBAL : prot;
}

static void collect(struct pt_visitor *v, vaddr_t va, enum pt_size size, u64 old_pte)
{
    struct space_taken *c = container_of(v, struct space_taken, visitor);
    (void)va;
    u32 level = pt_level_of(size);
    paddr_t pa = pte_page(old_pte, level);
    struct frame *f = frame_of(pa);
    if ((old_pte & (PTE_PCD | PTE_PWT | pte_pat_bit(level))) || !f)
        c->special = true;
    if (!(old_pte & PTE_OWNED)) {
        c->ticket->lax = TLB_STRICT; /* the caller may reuse it as soon as we return */
        return;
    }
    ASSERT(f != NULL, "only frames of the allocator can be a mapping's own");
    if (unlikely(old_pte & PTE_SHARED)) {
        ASSERT(c->shared_count < c->shared_max,
               "copy-on-write pages are taken away by mm/region_unmap.c only");
        c->ticket->lax = TLB_STRICT; /* it loses an owner as soon as we return */
        c->shared[c->shared_count++] = (u32)(pa.v >> PAGE_SHIFT);
    } else {
        ticket_park_frame(c->ticket, f, pa);
    }
}

void space_taken_begin(struct space_taken *c, struct tlb_ticket *t, u32 *shared, u32 shared_max)
{
    c->visitor.leaf = collect;
    c->ticket = t;
    c->special = false;
    c->shared_count = 0;
    c->shared_max = shared_max;
    c->shared = shared;
}

static enum tlb_level level_for(const struct space *s, const struct pt_change *change, bool special,
                                enum tlb_level for_leaves)
{
    /* Memory that must not be read by speculation either: CPUs that only borrow the root are told of freed tables alone. */
    if (change->tables || (special && s != &kernel_space && change->leaves))
        return TLB_WALKERS;
    if (!change->leaves || !change->narrowed)
        return TLB_NONE;
    return s == &kernel_space ? MAX(TLB_FLUSHED, for_leaves) : for_leaves;
}

/* The level holds when ticket_close returns, whatever the policy does with the ticket's own memory: it asserts that. */
static COLD void drop_shared(struct space *s, const struct space_taken *c)
{
    for (u32 i = 0; i < c->shared_count; i++) {
        paddr_t p = PADDR((u64)c->shared[i] << PAGE_SHIFT);
        share_drop(frame_of(p), p);
    }
    space_uncharge(s, c->shared_count);
}

enum tlb_level space_taken_close(struct space_taken *c, const struct pt_change *change,
                                 enum tlb_level for_leaves)
{
    struct space *s = c->ticket->request.space;
    enum tlb_level need = level_for(s, change, c->special, for_leaves);
    ticket_close(c->ticket, need, change);
    if (unlikely(c->shared_count))
        drop_shared(s, c);
    return need;
}

err_t space_unmap(struct space *s, vaddr_t start, vaddr_t end)
{
    err_t e = check_range(s, start, end);
    if (e != ERR_OK)
        return e;

    struct tlb_ticket t;
    ticket_open(&t, s, start, end);
    t.lax = TLB_LAX;
    struct space_taken c;
    struct pt_change change = {0};
    space_taken_begin(&c, &t, NULL, 0);
    e = pt_unmap(&s->pt, start, end, &c.visitor, &change);
    enum tlb_level need = space_taken_close(&c, &change, TLB_ENTERED);
    if (e == ERR_OK && need == TLB_NONE)
        ticket_wait_earlier(s, TLB_ENTERED);
    return e;
}

err_t space_protect(struct space *s, vaddr_t start, vaddr_t end, u32 prot)
{
    err_t e = check_range(s, start, end);
    if (e != ERR_OK)
        return e;

    struct tlb_ticket t;
    ticket_open(&t, s, start, end);
    struct pt_change change = {0};
    e = pt_protect(&s->pt, start, end, prot, NULL, &change);
    enum tlb_level need = level_for(s, &change, false, TLB_FLUSHED);
    ticket_close(&t, need, &change);
    if (e == ERR_OK && need == TLB_NONE)
        ticket_wait_earlier(s, TLB_FLUSHED);
    return e;
}

err_t space_remap(struct space *s, vaddr_t va, paddr_t pa, enum pt_size size, u32 prot)
{
    u64 bytes = 1ull << size;
    err_t e = IS_ALIGNED(va, bytes) && may_be_global(s, prot) ? check_range(s, va, va + bytes) : ERR_INVAL;
    u64 owned = prot & PT_OWNED ? bytes / PAGE_SIZE : 0;
    if (e == ERR_OK)
        e = space_charge(s, owned);
    if (e != ERR_OK)
        return e;

    struct tlb_ticket t;
    ticket_open(&t, s, va, va + bytes);
    struct space_taken c;
    space_taken_begin(&c, &t, NULL, 0);
    u64 old;
    e = pt_remap(&s->pt, va, pa, size, leaf_prot(s, prot), &old);
    struct pt_change change = {.leaves = e == ERR_OK, .narrowed = true, .stride = size};
    if (e == ERR_OK)
        collect(&c.visitor, va, size, old);
    else
        space_uncharge(s, owned);
    ticket_close(&t, level_for(s, &change, c.special, TLB_FLUSHED), &change);
    return e;
}

err_t space_map(struct space *s, vaddr_t va, paddr_t pa, u64 bytes, enum pt_size max_size, u32 prot)
{
    err_t e = va + bytes > va ? check_range(s, va, va + bytes) : ERR_RANGE;
    if ((prot & PT_OWNED) && max_size != PT_4K)
        return ERR_INVAL; /* a split would leave leaves that own parts of one block */
    if (!may_be_global(s, prot))
        return ERR_INVAL;
    if (e != ERR_OK)
        return e;

    u64 owned = prot & PT_OWNED ? bytes / PAGE_SIZE : 0;
    e = space_charge(s, owned);
    if (e != ERR_OK)
        return e;

    struct tlb_ticket t;
    ticket_open_adding(&t, s, va, va + bytes);
    e = pt_map_range(&s->pt, va, pa, bytes, max_size, leaf_prot(s, prot));
    if (e != ERR_OK)
        space_uncharge(s, owned);
    /* Not present to present: whoever faults meanwhile walks again. */
    ticket_close(&t, TLB_NONE, NULL);
    return e;
}

err_t space_map_fresh(struct space *s, vaddr_t va, u64 pages, u32 prot, u16 owner)
{
    for (u64 i = 0; i < pages; i++) {
        paddr_t p;
        err_t e = frame_alloc_zeroed(owner, &p);
        if (e == ERR_OK) {
            e = space_map(s, va + i * PAGE_SIZE, p, PAGE_SIZE, PT_4K, prot | PT_OWNED);
            if (e != ERR_OK)
                frame_free(p);
        }
        if (e != ERR_OK) {
            if (i) {
                err_t undo = space_unmap(s, va, va + i * PAGE_SIZE);
                ASSERT(undo == ERR_OK, "4 KiB pages that were just mapped are unmapped without allocating");
            }
            return e;
        }
    }
    return ERR_OK;
}

struct pt_entry space_query(struct space *s, vaddr_t va)
{
    preempt_disable();
    spin_lock(&s->lock);
    struct pt_entry e = pt_walk(&s->pt, va);
    spin_unlock(&s->lock);
    preempt_enable();
    return e;
}
