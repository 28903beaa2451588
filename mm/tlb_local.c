#include "mm/tlb_local.h"

#include "lib/counter.h"
#include "lib/features.h"

COUNTER(tlb_flush_pages, "pages flushed one by one on this CPU (INVLPG)");
COUNTER(tlb_flush_space, "flushes of all non-global entries on this CPU (CR3 written)");
COUNTER(tlb_flush_all, "flushes of everything on this CPU, global entries too");

#define CR4_PGE (1ull << 7)

void tlb_flush_space_local(void)
{
    counter_inc(tlb_flush_space);
    cr3_write(cr3_read());
}

void tlb_flush_all_local(void)
{
    counter_inc(tlb_flush_all);
    if (!features.pge) {
        cr3_write(cr3_read());
        return;
    }
    /* Any change of PGE forgets everything, global entries included (SDM volume 3A, section 4.10.4.1). An interrupt between
     * the two writes would run with global pages off, which is slow but right. */
    u64 cr4 = cr4_read();
    cr4_write(cr4 & ~CR4_PGE);
    cr4_write(cr4);
}
