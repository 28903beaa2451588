#include "mm/tlb_local.h"

#include "lib/counter.h"
#include "lib/features.h"
#include "mm/isolation.h"
#include "mm/layout.h"
#include "mm/pcid.h"
#include "mm/tlb_record.h"

COUNTER(tlb_flush_pages, "pages flushed one by one on this CPU (INVLPG)");
COUNTER(tlb_flush_space, "flushes of all non-global entries on this CPU (CR3 written)");
COUNTER(tlb_flush_all, "flushes of everything on this CPU, global entries too");

#define CR4_PGE (1ull << 7)

bool tlb_range_has_more, tlb_flush_by_invpcid;

void tlb_local_init(void)
{
    tlb_range_has_more = features.pcid && !features.pge;
}

void tlb_flush_range_elsewhere(vaddr_t start, u32 pages, enum pt_size stride)
{
    if (start >= KERNEL_HALF)
        pcid_forget_others();
    else if (patch_enabled(PATCH_PTI))
        isolation_flush_range(start, pages, stride);
}

void tlb_flush_space_local(void)
{
    counter_inc(tlb_flush_space);
    tlb_record_flush_space();
    u64 cr3 = cr3_read();
    if (unlikely(tlb_flush_by_invpcid) && features.invpcid)
        invpcid(INVPCID_CONTEXT, features.pcid ? (pcid_t)(cr3 & 0xfff) : 0, 0);
    else
        cr3_write(cr3);
    if (patch_enabled(PATCH_PTI))
        isolation_flush();
}

void tlb_flush_all_local(void)
{
    counter_inc(tlb_flush_all);
    if (features.invpcid) {
        tlb_record_flush_all();
        invpcid(INVPCID_ALL_GLOBAL, 0, 0);
        return;
    }
    if (!features.pge) {
        if (features.pcid)
            pcid_forget_others();
        tlb_record_flush_all_but_others();
        cr3_write(cr3_read());
        if (patch_enabled(PATCH_PTI))
            isolation_flush();
        return;
    }
    /* Any change of PGE forgets everything, global entries and all PCIDs included (SDM volume 3A, section 4.10.4.1). An
     * interrupt between the two writes would run with global pages off, which is slow but right. */
    tlb_record_flush_all();
    u64 cr4 = cr4_read();
    cr4_write(cr4 & ~CR4_PGE);
    cost_cr3();
    cr4_write(cr4);
    cost_cr3();
}
