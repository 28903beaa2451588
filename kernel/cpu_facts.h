/* What each CPU says of itself, and whether all say the same: stepping, microcode, features, kind of core, memory types. Mixed
 * processors, half-applied microcode and firmware that sets up the first CPU only are seen here. */
#pragma once

#include "lib/types.h"

enum { CPU_FEATURE_WORDS = 9 };

struct cpu_facts {
    u32 signature, microcode;       /* CPUID.1:EAX; 0 if the revision cannot be read */
    u32 feature[CPU_FEATURE_WORDS]; /* less the bits that mirror what system software has switched on */
    u8 core_type;                   /* CPUID.1Ah:EAX[31:24]: 20h efficient, 40h performance; 0: not hybrid */
    u32 mtrr_was;  /* number of the first MTRR that was not as on CPU 0, before it was made so; 0: none */
    u32 mtrr_left; /* of the first that could not be made so; 0: none */
    u64 pat;
};

/* Each CPU, CPU 0 before the others start, once it has its IDT: makes its memory types CPU 0's, and notes its
 * facts. Interrupts off. */
void cpu_facts_note(void);
/* Boot CPU, after the others have started: logs what differs from CPU 0. Returns how many CPUs differ in anything. */
u32 cpu_facts_compare(void);

const struct cpu_facts *cpu_facts_of(cpu_t cpu); /* cpu < MAX_CPUS; all 0 before it has noted them */
u32 cpu_facts_mtrrs_mended(void);                /* CPUs whose MTRRs were not CPU 0's, and are now */
u32 cpu_facts_differ(void);                      /* what cpu_facts_compare returned last */

/* What differs, as words; "" if nothing. Pure. */
void cpu_facts_text(const struct cpu_facts *first, const struct cpu_facts *other, char *out, size_t size);
