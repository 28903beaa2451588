/* PCIDs: each CPU keeps the entries of the spaces that it ran last, tagged, so that a space that comes back finds them.
 *
 * A slot is a PCID and the space that its entries belong to. Ids of spaces are never given twice, so a slot whose space has died
 * matches nobody, ever. How far the entries have been kept up to date is the space's published word for this CPU
 * (struct tlb_cpu.flushed): it stands still while the space is not loaded, and is raised by flushes only. PCID 0 is the
 * kernel's own root, without a user half. Everything here belongs to one CPU; interrupts off.
 * docs/shootdown-protocol.md argues why entries of a PCID that is not loaded need no shootdown. */
#pragma once

#include "lib/features.h"
#include "lib/percpu.h"
#include "mm/shootdown.h"

#define PCID_SLOTS_MAX 64u
#define PCID_SLOTS_DEFAULT                                                                                   \
    6u /* Linux's figure: more do not pay, because the entries of older ones have been evicted */
#define PCID_KERNEL        0u
#define PCID_OF_SLOT(slot) ((pcid_t)((slot) + 1))

#define CR3_PCID           0xfffull
/* Bit 11: the second PCID of a space, for the root on which ring 3 runs with page-table isolation. kernel/entry.inc. */
#define CR3_PCID_USER (1ull << 11)
/* Written, never read: keep the PCID's entries. Faults while CR4.PCIDE is 0. SDM volume 3A, section 4.10.4.1. */
#define CR3_KEEP (1ull << 63)
_Static_assert(
    PCID_OF_SLOT(PCID_SLOTS_MAX - 1) < CR3_PCID_USER,
    "the PCIDs of slots leave bit 11 to the user roots; with too many, two spaces would share one");

struct pcid_slots {
    u64 id[PCID_SLOTS_MAX]; /* of the space whose entries may be tagged with the slot's PCID; 0: nobody's */
    u32 victim;             /* the next to be taken away, round robin */
    bool kernel_behind;     /* PCID 0 must be flushed when it is loaded next */
};
DECLARE_PERCPU(struct pcid_slots, pcid_slots);

extern u32 pcid_slots_in_use; /* slots=: 1 .. PCID_SLOTS_MAX */

/* Takes a slot away from whoever has it and gives it to the space `id`: the entries in it are another's. */
void pcid_take_slot(u64 id, struct tlb_cpu *me);

/* Finds the slot of the space `id`, whose word of this CPU is `me`, or takes one: me->slot. True if the entries in it are the
 * space's own; false: the load of CR3 must flush. */
static ALWAYS_INLINE bool pcid_slot_for(u64 id, struct tlb_cpu *me)
{
    if (likely(me->slot < atomic_load_relaxed(&pcid_slots_in_use) &&
               this_cpu_ptr(pcid_slots)->id[me->slot] == id))
        return true;
    pcid_take_slot(id, me);
    return false;
}

/* The entries of all PCIDs but the loaded one count as stale: each is flushed when it is loaded next. For kernel ranges where the
 * kernel's pages are not global. */
void pcid_forget_others(void);

/* What to write to CR3 for the kernel's root; takes note that it was flushed, if it has to be. */
u64 pcid_kernel_cr3(u64 root);
