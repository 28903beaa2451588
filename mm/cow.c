/* Copy-on-write without a flush on the CPU that writes.
 *
 * From: the EuroSys 2020 series, "avoiding the flush on copy-on-write".
 *
 * The copy's entry is writable, the one before was not. Where ring 3 has faulted on the old one, the fault itself has made the CPU forget
 * it (SDM volume 3A, section 4.10.4.1: a page fault invalidates what is cached for its address under its PCID). What speculation may
 * have fetched again since allows no write either, for it was read from the same entry. So one write behind the change, which changes
 * nothing (LOCK OR 0), is enough: no cached entry allows it, hence the CPU looks into the tables, and what it finds takes the old one's
 * place; or it faults, which forgets the old one, and then we flush as always. No INVLPG, and with it no loss of the
 * paging-structure caches: the write has walked for the access that is about to be repeated.
 *
 * That holds only
 *   - where this CPU is up to date but for this change: else what it has may stem from an earlier entry, and that may have been writable;
 *   - for pages that are not executable: a write replaces nothing in a TLB of instructions;
 *   - where an entry that ring 3 uses is the one that a write of ring 0 replaces: so in Bochs, and on processors with one TLB for loads and
 *     stores. No manual promises it: a thread that has moved since its fault has faulted elsewhere, and then it rests on the write alone.
 *     QEMU's TCG keeps a TLB for each ring, and forgets nothing at a page fault: there it is flushed (kernel/uaccess_cow.c);
 *   - without page-table isolation: the fault is of the PCID of ring 3's root, and the kernel's may have the page cached, too.
 *
 * All other CPUs are told as always: they may read the old frame. */
#include "mm/cow.h"

#include "lib/counter.h"
#include "mm/respond.h"
#include "mm/space.h"
#include "mm/tlb_local.h"
#include "mm/tlb_record.h"

COUNTER(cow_written, "copies of copy-on-write pages for which the writing CPU did not flush (opt= with cow)");
COUNTER(cow_flushed, "copies for which it did all the same: it was behind, or a write would not do");

bool cow_by_write;

static bool write_to(vaddr_t va)
{
    bool done = false;
    TABLE_FOREACH (cow_writer, struct cow_writer, w)
        done = w->write(va);
    return done;
}

void cow_forget_here(struct tlb_ticket *t)
{
    const struct tlb_request *r = &t->request;
    struct space *s = r->space;
    if (!cow_by_write || t->here_done)
        return;
    irq_disable(); /* as shootdown_flush_here */
    const struct tlb_cpu *me = &s->cpu[cpu_self()];
    if (s == this_cpu(tlb_loaded) && r->gen == me->flushed + 1 && r->level < TLB_WALKERS &&
        write_to(r->start)) {
        counter_inc(cow_written);
        tlb_record_flush_range(r->start, 1, PT_4K);
        if (unlikely(tlb_range_has_more))
            tlb_flush_range_elsewhere(r->start, 1, PT_4K);
        tlb_publish_flushed(s, r->gen);
        t->here_done = true;
    } else {
        counter_inc(cow_flushed);
    }
    irq_enable();
}
