/* Instructions and units that make other CPUs forget a translation without an interrupt: found and reported, not used, as no machine that has
 * one was at hand to run it on.
 *
 *   INVLPGB, TLBSYNC   AMD from Zen 3: broadcasts a range by address, PCID and ASID (AMD64 manual volumes 2 and 3)
 *   RAR                Intel, remote action request: a table of requests in memory, served by the target's microcode (Intel document
 *                      341431, "Remote Action Request") */
#pragma once

#include "kernel/cpu_caches.h"

struct remote_flush {
    bool invlpgb, invlpgb_nested; /* nested: also by a guest under nested paging */
    u32 invlpgb_pages;            /* the most in one instruction; 0 without it */
    bool rar;
};

/* core_capabilities: reads IA32_CORE_CAPABILITIES (MSR CFh), which is called only where CPUID says that it is there; false: it faulted. */
struct remote_flush remote_flush_read(cpuid_fn read, bool (*core_capabilities)(u64 *value));
/* "INVLPGB of up to 8 pages: detected, not used", or "none". */
void remote_flush_text(const struct remote_flush *f, char *out, size_t size);

/* Of the running CPU (kernel/machine_flush.c). Any context but NMI. */
struct remote_flush remote_flush_here(void);
