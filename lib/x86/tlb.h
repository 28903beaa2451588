/* The three ways to forget translations, one instruction each, this CPU only. Policy (what, when, which) is mm's.
 * Manual: SDM volume 3A, section 4.10.4.1. Each has a "memory" clobber: accesses must not move across a flush. */
#pragma once

#include "lib/cost.h"
#include "lib/types.h"
#include "lib/x86/cpu.h"

enum invpcid_type {
    INVPCID_ADDR = 0,       /* one page of one PCID; not global entries */
    INVPCID_CONTEXT = 1,    /* one PCID with its paging-structure caches; not global entries */
    INVPCID_ALL_GLOBAL = 2, /* everything, global entries too */
    INVPCID_ALL = 3,        /* every PCID; not global entries */
};

/* Forgets the page that holds va: entries of the current PCID, global entries, and all paging-structure caches of the
 * current PCID. A non-canonical address is a no-op on hardware. For loops, which say cost_invlpgs once at their end. */
static ALWAYS_INLINE void invlpg_uncharged(vaddr_t va)
{
#ifdef VOLLEY_HOST
    host_invlpg(va);
#else
    __asm__ volatile("invlpg (%0)" ::"r"(va) : "memory");
#endif
}
static ALWAYS_INLINE void invlpg(vaddr_t va)
{
    invlpg_uncharged(va);
    cost_invlpg();
}

/* Needs CPUID.7.EBX[10]; types 0 and 1 with pcid > 0 fault while CR4.PCIDE is 0. */
static ALWAYS_INLINE void invpcid(enum invpcid_type type, pcid_t pcid, vaddr_t va)
{
#ifdef VOLLEY_HOST
    host_invpcid(type, pcid, va);
#else
    struct {
        u64 pcid, va;
    } desc = {pcid, va};
    __asm__ volatile("invpcid %1, %0" ::"r"((u64)type), "m"(desc) : "memory");
    cost_invpcid();
#endif
}
