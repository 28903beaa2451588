/* The kmap area: permanent mappings of device memory and fresh pages, and address ranges for kernel_space.
 * Addresses are given out in ascending order, each with an unmapped page before it. */
#include "lib/assert.h"
#include "lib/context.h"
#include "lib/features.h"
#include "lib/spinlock.h"
#include "mm/frame.h"
#include "mm/kmap.h"
#include "mm/kmap_internal.h"
#include "mm/layout.h"
#include "mm/pte.h"
#include "mm/shootdown.h"
#include "mm/space.h"
#include "mm/tlb_local.h"
#include "smp/cpus.h"

/* Guards the tables of the permanent part. */
static spinlock_t kmap_lock = SPINLOCK_INIT;

struct area {
    vaddr_t next;
    vaddr_t end;
};
static struct area fixed = {KMAP_FIXED_BASE, KMAP_FIXED_BASE + KMAP_FIXED_SIZE};
static struct area dynamic = {KMAP_DYNAMIC_BASE, KMAP_DYNAMIC_BASE + KMAP_DYNAMIC_SIZE};

/* `bytes` (whole pages) at an address that leaves `offset` when divided by `align`, behind a guard page. 0: no room. */
static vaddr_t take(struct area *a, u64 bytes, u64 align, u64 offset)
{
    vaddr_t next = atomic_load_relaxed(&a->next), va;
    do {
        va = ALIGN_UP(next + PAGE_SIZE - offset, align) + offset;
        if (bytes > a->end - PAGE_SIZE - va || va > a->end - PAGE_SIZE)
            return 0;
    } while (!atomic_cmpxchg(&a->next, &next, va + bytes));
    return va;
}

vaddr_t kmap_reserve(u64 pages)
{
    if (!pages || pages > KMAP_DYNAMIC_SIZE / PAGE_SIZE)
        return 0;
    return take(&dynamic, pages * PAGE_SIZE, pages >= PT_ENTRIES ? 2 * MIB : PAGE_SIZE, 0);
}

static err_t map(vaddr_t va, paddr_t pa, u64 bytes, u32 prot)
{
    bool irq = spin_lock_irqsave(&kmap_lock);
    err_t e = pt_map_range(&kernel_pt, va, pa, bytes, PT_2M, kmap_prot(prot));
    spin_unlock_irqrestore(&kmap_lock, irq);
    return e;
}

void *kmap_phys(paddr_t p, u64 bytes, u32 prot)
{
    ASSERT(!(prot & (PT_USER | PT_EXEC | PT_OWNED)),
           "device memory and firmware tables are data, and nobody's");
    u64 end = p.v + bytes;
    if (!bytes || end < p.v || end > 1ull << MIN(features.phys_bits, 52u) || bytes > KMAP_FIXED_SIZE)
        return NULL;
    u64 first = ALIGN_DOWN(p.v, PAGE_SIZE);
    u64 span = ALIGN_UP(end, PAGE_SIZE) - first;
    /* In step with the physical address, so that what is long enough (frame buffers) gets large pages. */
    bool large = span >= 2 * MIB;
    vaddr_t va = take(&fixed, span, large ? 2 * MIB : PAGE_SIZE, large ? first % (2 * MIB) : 0);
    if (!va || map(va, PADDR(first), span, prot) != ERR_OK)
        return NULL;
    return (void *)(va + (p.v - first));
}

/* Pages of one flush: their frames stand on the stack. */
#define UNMAP_BATCH 32u

struct taken {
    struct pt_change change;
    u32 tables; /* list of frame numbers (kmap_take_parked_tables) */
    paddr_t frames[UNMAP_BATCH];
};

static void take_out(vaddr_t va, u32 n, struct taken *out)
{
    bool irq = spin_lock_irqsave(&kmap_lock);
    for (u32 i = 0; i < n; i++)
        out->frames[i] = pt_walk(&kernel_pt, va + i * PAGE_SIZE).pa;
    err_t e = pt_unmap(&kernel_pt, va, va + n * PAGE_SIZE, NULL, &out->change);
    ASSERT(e == ERR_OK && out->change.leaves == n, "4 KiB pages of kmap_pages are unmapped");
    out->tables = kmap_take_parked_tables();
    spin_unlock_irqrestore(&kmap_lock, irq);
}

/* Others may have used these pages, and even where not, they may hold what they have walked through on their own account (SDM volume
 * 3A, section 4.10.2.3), and would go on walking through a table that has become something else. */
static void take_out_everywhere(vaddr_t va, u32 n, struct taken *out)
{
    struct tlb_ticket t;
    ticket_open(&t, &kernel_space, va, va + n * PAGE_SIZE);
    take_out(va, n, out);
    ticket_close(&t, out->change.tables ? TLB_WALKERS : TLB_FLUSHED, &out->change);
}

static void take_out_here(vaddr_t va, u32 n, struct taken *out)
{
    take_out(va, n, out);
    /* A freed table must leave the paging-structure caches of all PCIDs, a leaf only its entries. */
    if (out->change.tables)
        tlb_flush_all_local();
    else
        tlb_flush_range_local(va, n, PT_4K);
}

/* The n pages at va and the frames behind them go. */
static void unmap_and_free(vaddr_t va, u64 n)
{
    while (n) {
        struct taken taken;
        u32 batch = (u32)MIN(n, UNMAP_BATCH);
        if (cpu_online_count() > 1)
            take_out_everywhere(va, batch, &taken);
        else
            take_out_here(va, batch, &taken);
        kmap_free_tables(taken.tables);
        for (u32 i = 0; i < batch; i++)
            frame_free(taken.frames[i]);
        va += batch * PAGE_SIZE;
        n -= batch;
    }
}

void *kmap_pages(u64 n, u16 owner)
{
    if (cpu_online_count() > 1)
        ASSERT_MAY_WAIT(); /* should memory run out half-way */
    if (!n || n > KMAP_FIXED_SIZE / PAGE_SIZE)
        return NULL;
    vaddr_t va = take(&fixed, n * PAGE_SIZE, PAGE_SIZE, 0);
    for (u64 i = 0; va && i < n; i++) {
        paddr_t frame;
        err_t e = frame_alloc_zeroed(owner, &frame);
        if (e == ERR_OK) {
            e = map(va + i * PAGE_SIZE, frame, PAGE_SIZE, PT_WRITE);
            if (e != ERR_OK)
                frame_free(frame);
        }
        if (e != ERR_OK) {
            unmap_and_free(va, i);
            return NULL;
        }
    }
    return (void *)va;
}

void kmap_free_pages(void *lowest, u64 n)
{
    unmap_and_free((vaddr_t)lowest, n);
}

u64 kmap_stack(void)
{
    const u64 pages = KSTACK_SIZE / PAGE_SIZE;
    void *lowest = kmap_pages(pages, FRAME_OWNER_STACK);
    if (!lowest)
        return 0;
    if (kmap_add_guard((vaddr_t)lowest - PAGE_SIZE) != ERR_OK) {
        kmap_free_pages(lowest, pages);
        return 0;
    }
    return (vaddr_t)lowest + KSTACK_SIZE;
}
