/* Debug builds: a record of what each CPU's TLB may still hold, kept from the flush instructions as they are executed, and
 * compared with what the CPU claims: at each load of a root, publication and release. So a missing flush, a flush of too few
 * pages, or a PCID that is kept for another space is a failed assertion on the CPU that did it, and not a stale read later
 * somewhere else. In other builds there is nothing of it.
 *
 * Each space remembers its last changes, by generation. The record says for each PCID of a CPU whose entries it may hold, and up to
 * which generation they are clean; a flush of all moves that on to the present, and a flush of pages covers the changes whose
 * ranges it contains. */
#pragma once

#include "lib/types.h"
#include "mm/shootdown.h"

struct space;
struct tlb_request;

#ifdef VOLLEY_DEBUG
#define TLB_HISTORY 16u /* changes that a space remembers; of older ones nobody is held to the range */

/* Written under the space's lock, before the generation is raised to it; read by CPUs that have seen the generation. */
struct tlb_change {
    tlb_gen_t gen;
    vaddr_t start, end;
    enum pt_size stride;
    enum tlb_level level;
};

/* The change that becomes generation `gen`. Lock held. */
void tlb_record_change(struct space *s, tlb_gen_t gen, const struct tlb_request *r, vaddr_t end);
/* What follows is by the CPU itself, interrupts off, right before the instruction that it stands for. */
void tlb_record_root(const struct space *s, u64 cr3); /* CR3 is written; s NULL: the kernel's root */
void tlb_record_flush_space(void);                    /* the loaded PCID is flushed */
void tlb_record_flush_all(void);                      /* all PCIDs and global entries are */
void tlb_record_flush_all_but_others(void); /* the loaded PCID is; the others must be when they are loaded */
void tlb_record_others_forgotten(void);     /* only the latter */
void tlb_record_flush_range(vaddr_t start, u32 pages, enum pt_size stride);
/* The CPU is about to say that it has flushed all up to gen. */
void tlb_record_publish(const struct space *s, tlb_gen_t gen);
/* An NMI handler has flushed all up to gen: it does not touch the record, which may be at work when it comes. */
void tlb_record_flushed_by_nmi(const struct space *s, tlb_gen_t gen);
/* Memory is about to be given back. */
void tlb_record_release(const struct tlb_ticket *t);
/* Any CPU's: may CPU c, which has that space loaded or borrowed, hold what generation gen took away: a leaf; or by its walker, a table? */
bool tlb_record_may_hold(cpu_t c, u64 id, tlb_gen_t gen, bool table);
#else
#define tlb_record_change(s, gen, r, end)            ((void)0)
#define tlb_record_root(s, cr3)                      ((void)0)
#define tlb_record_flush_space()                     ((void)0)
#define tlb_record_flush_all()                       ((void)0)
#define tlb_record_flush_all_but_others()            ((void)0)
#define tlb_record_others_forgotten()                ((void)0)
#define tlb_record_flush_range(start, pages, stride) ((void)0)
#define tlb_record_publish(s, gen)                   ((void)0)
#define tlb_record_flushed_by_nmi(s, gen)            ((void)0)
#define tlb_record_release(t)                        ((void)0)
#endif
