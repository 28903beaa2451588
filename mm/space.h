/* Address spaces: a root table, a generation, and the CPUs that have it loaded.
 *
 * Every operation that takes something away is one shootdown under the policy in force: when it returns, what the policy
 * promises at return holds, and memory it gave up has been released by the ticket's rule. Operations that only add or widen
 * need no flush: a CPU that faults on a stale entry walks again (space_fault_is_stale). Context: THREAD, unless said otherwise. */
#pragma once

#include "lib/cpumask.h"
#include "lib/spinlock.h"
#include "mm/pt.h"
#include "mm/shootdown.h"
#include "mm/tlb_record.h"

struct space {
    struct pt pt;
    struct pt_pool pool;          /* table pages; retires onto the ticket at work */
    spinlock_t lock;              /* guards the tables and in_flight; never held while waiting for a CPU */
    struct tlb_cpu *cpu;          /* [cpu_count()] */
    struct tlb_ticket *in_flight; /* changes that have not been released yet */
    struct tlb_ticket *at_work;   /* the ticket that the lock holder fills */
    paddr_t user_root;            /* pti=on: on which ring 3 runs (mm/isolation.h); else PADDR_NONE */
    u64 id;                       /* never 0, never given to another space */
    u64 frames;     /* of 4 KiB that it holds: owned memory and tables, parked ones until their release */
    u64 frames_max; /* space_charge refuses more; ~0: no limit */
    struct region_table *regions; /* mm/region.h; NULL: none yet. Under `lock` */
    /* Raised by every change that someone must forget; no two spaces share a number. */
    tlb_gen_t gen CACHE_ALIGNED;
    cpumask_t active; /* CPUs that run in it, and are told of every change; a subset of loaded */
#ifdef VOLLEY_DEBUG
    struct tlb_change history[TLB_HISTORY];
    tlb_gen_t released;    /* the highest whose memory has been given back */
    tlb_gen_t tables_gone; /* the last that took a table away: mm/tlb_ghost.c */
#endif
    cpumask_t loaded; /* CPUs whose root it is, lazy ones too; these are told when tables are freed */
};

extern struct space kernel_space;

err_t space_create(struct space **out) MUST_CHECK;
/* Unmaps all, makes the CPUs that borrow it give it up, waits until none can still hold anything of it, frees it. Threads of it
 * may be on their way out elsewhere, for which this waits; the running CPU must not run in it (asserted), but may borrow it.
 * Nobody may load it any more. THREAD. */
void space_destroy(struct space *s);

/* Maps [va, va+bytes) to pa. With PT_OWNED (4 KiB pages only) the frames become the mapping's. Waits first for any change still in flight in
 * that range. ERR_EXIST, ERR_NOMEM, ERR_RANGE, ERR_INVAL as pt_map_range; ERR_INVAL for PT_GLOBAL outside the kernel's space. */
err_t space_map(struct space *s, vaddr_t va, paddr_t pa, u64 bytes, enum pt_size max_size,
                u32 prot) MUST_CHECK;
/* Maps fresh zeroed 4 KiB frames, owned. All or nothing. */
err_t space_map_fresh(struct space *s, vaddr_t va, u64 pages, u32 prot, u16 owner) MUST_CHECK;
/* Takes [start, end) away; owned frames are freed at release, empty tables at WALKERS. Absent pages are no error. */
err_t space_unmap(struct space *s, vaddr_t start, vaddr_t end) MUST_CHECK;
/* New rights for every present page of the range. Narrowing waits for FLUSHED; widening flushes nobody. */
err_t space_protect(struct space *s, vaddr_t start, vaddr_t end, u32 prot) MUST_CHECK;
/* Another frame behind the same page; the old one is freed at release if it was owned. Needs FLUSHED. */
err_t space_remap(struct space *s, vaddr_t va, paddr_t pa, enum pt_size size, u32 prot) MUST_CHECK;
struct pt_entry space_query(struct space *s, vaddr_t va);

/* Makes s the running CPU's user half, or nothing with NULL (only the kernel half). THREAD or IRQ-OFF, preemption off. A switch
 * of threads calls it, or space_borrow, before the other thread's user memory can be touched. */
void space_load(struct space *s);
/* The CPU goes on with a thread that has no user half: it keeps the root, so that coming back is cheap, but is not told of leaf
 * changes until space_load(the same space) has caught it up. Nothing may touch user memory meanwhile. Same contexts. */
void space_borrow(void);
/* space_load, short for a CPU that has only borrowed s; interrupts off. */
void space_return(struct space *s);
/* Whose root this CPU has; NULL if the kernel's. It may only be borrowed. */
struct space *space_loaded(void);
/* Whose user half may be touched here: as space_loaded, but NULL if the root is only borrowed. */
struct space *space_running(void);
/* Gives a borrowed root up for the kernel's: for mm/respond.c and mm/ticket.c. Interrupts off; THREAD or IPI. */
void space_give_up(void);

/* Counts n more 4 KiB frames as held by s; ERR_NOMEM, and nothing counted, if that is above s->frames_max. Any context. Owned leaves
 * and table pages are counted by the functions above, from their mapping until their ticket's release; callers count only what
 * they add to the tables by themselves. */
err_t space_charge(struct space *s, u64 n) MUST_CHECK;
void space_uncharge(struct space *s, u64 n);

/* Is the fault at va only a stale entry, the tables already allowing the access? Then forgets it here and returns true: the
 * access is to be retried. Interrupts off, any thread or IPI context. */
bool space_fault_is_stale(vaddr_t va, bool write, bool exec, bool user);

/* Once, on the boot CPU, after kmap_init and the last cpu_add. */
void space_init(void);
/* Each CPU once, after smp_cpu_online and before interrupts: joins the kernel's space. */
void space_init_cpu(void);
