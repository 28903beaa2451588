/* Flushes of the running CPU's own TLB. What to flush is decided elsewhere; here is how. Interrupts off, or in a context
 * where a flush more does not matter. */
#pragma once

#include "lib/counter.h"
#include "lib/x86/tlb.h"
#include "mm/pt.h"
#include "mm/tlb_record.h"

/* Is INVLPG not enough, because entries of the same address may be tagged by other PCIDs too? So it is where PCIDs are used, but
 * not global pages. Set once by tlb_local_init. */
extern bool tlb_range_has_more;
void tlb_flush_range_elsewhere(vaddr_t start, u32 pages, enum pt_size stride);
void tlb_local_init(void);

/* `pages` INVLPGs from start, one page of `stride` apart. Forgets global entries of these pages too, and, as a side effect
 * of any INVLPG, this PCID's paging-structure caches (SDM volume 3A, section 4.10.4.1). */
DECLARE_PERCPU(u64, counter_tlb_flush_pages);
static ALWAYS_INLINE void tlb_flush_range_local(vaddr_t start, u32 pages, enum pt_size stride)
{
    u32 left = pages;
    counter_add(tlb_flush_pages, pages);
    tlb_record_flush_range(start, pages, stride);
    if (unlikely(tlb_range_has_more))
        tlb_flush_range_elsewhere(start, pages, stride);
    for (u64 step = 1ull << stride; left; left--, start += step)
        invlpg_uncharged(start);
    cost_invlpgs(pages);
}
/* Flush whole spaces by INVPCID, where the CPU has it, instead of writing CR3: flush=invpcid. */
extern bool tlb_flush_by_invpcid;
/* All of the loaded space but global entries, with its paging-structure caches: CR3 written with its own value, or INVPCID of
 * its PCID. Of other PCIDs, nothing. */
void tlb_flush_space_local(void);
/* Everything, global entries and all PCIDs too: by INVPCID; without it, CR4.PGE off and on again; where global pages are not
 * used, CR3 written, the other PCIDs being flushed when they are loaded next. */
void tlb_flush_all_local(void);
