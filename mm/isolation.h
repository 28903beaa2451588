/* Page-table isolation, the part of mm: a second root for each space, on which ring 3 runs. It has the space's user half and of the
 * kernel only what is needed to get in (kernel/pti.c maps that, once). The entry paths load the two roots from two words of
 * each CPU, which space_load writes (kernel/entry.inc).
 *
 * Where PCIDs are used, each slot has two: the kernel's view, and the same with CR3_PCID_USER set. Flushing the second is
 * put off until it is loaded: bit 63 of the word is cleared. Nothing can use its entries before. So what ring 3 is promised holds,
 * though a CPU publishes its flush before. */
#pragma once

#include "lib/patch.h"
#include "lib/percpu.h"
#include "mm/space.h"

/* What LOAD_KERNEL_CR3 and LOAD_USER_CR3 load on this CPU; the second is 0 where no space is loaded. Changed by the CPU itself,
 * with interrupts off; an NMI that flushes may clear bit 63 of the second too. */
#ifdef VOLLEY_HOST
DECLARE_PERCPU(u64, isolation_host_kernel_cr3);
DECLARE_PERCPU(u64, isolation_host_user_cr3);
#define isolation_kernel_cr3() this_cpu(isolation_host_kernel_cr3)
#define isolation_user_cr3()   this_cpu(isolation_host_user_cr3)
#else
#define isolation_kernel_cr3() this_cpu(percpu_head.kernel_cr3)
#define isolation_user_cr3()   this_cpu(percpu_head.user_cr3)
#endif

/* Pages of the second root's that are to be forgotten on it, by the way back to ring 3 (kernel/entry.inc): from next to end, one for
 * each step. While end is not 0, bit 63 of user_cr3 is clear; while end is 0 and the bit is clear, all of them are. Changed as user_cr3. */
struct isolation_range {
    u64 next, end, step;
};
DECLARE_PERCPU_ENTRY(struct isolation_range, isolation_range);

/* Flush ranges so: opt= with incontext. Otherwise by INVPCID at once, where the CPU has it, or all with the next load. */
extern bool isolation_in_context;

/* Once, before the first space is created: every space gets a second root, whose kernel half is that of `template_root`, which
 * never changes afterwards. */
void isolation_begin(paddr_t template_root);

/* Life of the second root; nothing happens without isolation. */
err_t isolation_create(struct space *s) MUST_CHECK;
void isolation_destroy(struct space *s);

/* For space_load, in this order: the words of the space that is left are remembered where needed; those of the next one, NULL for
 * the kernel's root, are written. kernel_cr3: as it was loaded. Interrupts off. */
void isolation_leave(void);
void isolation_enter(const struct space *s, u64 kernel_cr3);

/* Entries of the second root of the loaded space: [start, ...) of `pages` pages, or all of them. Interrupts off. */
void isolation_flush_range(vaddr_t start, u32 pages, enum pt_size stride);
void isolation_flush(void);
