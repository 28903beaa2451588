/* Named machines. The prices are published measurements, each with its source; none has been chosen to fit a result of this
 * project. What a source does not say is said here. docs/cost-model.md has the same with the arithmetic. */
#include "kernel/cost.h"

/* The seed's machine is "Haswell"; no more is known of it. So Haswell where there is a figure, else the nearest relative:
 *
 *   invlpg 216, cr3 124   "a Haswell Xeon", __flush_tlb_single() and __flush_tlb(): D. Hansen, linux-mm, 9 June 2015, in the
 *                         thread of "TLB flush multiple pages per IPI v5" (message-id 55775749.3090004@intel.com)
 *   invpcid 216           no figure for Haswell was found: as INVLPG. More on others (Skylake, everything: 376 ns; A.
 *                         Lutomirski, commit d8bced79af1d)
 *   icr 298, entry 1212   Xeon E5-2658, 2.3 GHz: sender's and receiver's cost of an interrupt without VM exits, in cycles:
 *                         Shinjuku (Kaffes and others, NSDI 2019), table 1. The receiver's includes a small handler and IRET
 *   wire 483              there too: 1993 from the sending to the end, less the other two
 *   line 125              Xeon E5-2660 v4 (Broadwell), a modified line of another core's L2, same socket: 40.3 to 42.3 ns, at
 *                         3.0 GHz: J. McCalpin, Intel developer forum, topic 700477 */
COST_PROFILE(
    haswell,
    "Xeon of the Haswell and Broadwell generation, one socket", [COST_INVLPG] = 216, [COST_CR3] = 124,
    [COST_INVPCID] = 216, [COST_ENTRY] = 1212, [COST_ICR] = 298, [COST_LINE] = 125, [COST_WIRE] = 483);

/* Skylake, as far as figures were found; they are two, and of page-table isolation, where the two flushes of a page differ:
 *
 *   invpcid 350           "~350 cycles per-page", INVPCID of one page, 4-core Skylake desktop: D. Hansen, linux-kernel, 5 December 2017,
 *                         "x86 TLB flushing: INVPCID vs. deferred CR3 write"
 *   invlpg 212            that less 138, by which INVLPG of the same page is cheaper: Skylake, madvise of 1 and of 10 pages, 2119 and
 *                         6791 cycles with INVPCID for the user's copy, 1986 and 5417 with INVLPG for it: 4672 less 3431, by 9 pages:
 *                         N. Amit, linux-kernel, August 2019, "x86/mm/tlb: Defer TLB flushes with PTI" (RFC v2)
 *   the rest              none found: as haswell */
COST_PROFILE(
    skylake, "Skylake: INVLPG and INVPCID, the rest as haswell", [COST_INVLPG] = 212, [COST_CR3] = 124,
    [COST_INVPCID] = 350, [COST_ENTRY] = 1212, [COST_ICR] = 298, [COST_LINE] = 125, [COST_WIRE] = 483);
