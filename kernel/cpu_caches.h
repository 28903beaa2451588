/* Caches, TLBs and topology by CPUID: pure functions over the leaves, so that the host feeds them those of any processor
 * (tests/host/cpu_leaves_test.c). Manuals: SDM volume 2, CPUID; AMD manual volume 3, appendix E. */
#pragma once

#include "lib/features.h"
#include "lib/types.h"
#include "lib/x86/cpu.h"

/* The instruction, or recorded leaves. A leaf above the highest one may return anything, as on hardware. */
typedef struct cpuid_regs (*cpuid_fn)(u32 leaf, u32 subleaf);

/* The highest leaf of the range that begins at `first` (0 or 80000000h); `first` itself if there is no such range. */
static inline u32 cpuid_last(cpuid_fn read, u32 first)
{
    u32 n = read(first, 0).eax;
    return n >= first && n - first < 0x10000 ? n : first;
}

enum cpu_cache_kind { CACHE_DATA = 1, CACHE_CODE = 2, CACHE_UNIFIED = 3 };

struct cpu_cache {
    u8 level, kind; /* enum cpu_cache_kind */
    bool fully_associative, inclusive;
    u32 ways, line, sets,
        shared_by; /* shared_by: ids of the topology, more than there are CPUs if some ids are unused; 0: not said */
    u64 bytes;
};

#define CPU_CACHES_MAX 8u
/* From leaf 4, or AMD's 8000001Dh, or what older ones have instead, 80000005h and 80000006h. Returns how many; 0: the processor does not say. */
u32 cpu_caches_read(cpuid_fn read, struct cpu_cache out[CPU_CACHES_MAX]);

/* The ways that four bits of these leaves stand for, the TLBs' too; `all` for every one, 0 for a code without meaning. */
u32 cpu_amd_ways(u32 code, u32 all);

enum cpu_tlb_kind { TLB_DATA = 1, TLB_CODE = 2, TLB_UNIFIED = 3, TLB_LOADS = 4, TLB_STORES = 5 };
enum cpu_tlb_page { TLB_4K = 1, TLB_2M = 2, TLB_4M = 4, TLB_1G = 8 };

struct cpu_tlb {
    u8 level, kind, pages; /* enum cpu_tlb_kind; set of enum cpu_tlb_page */
    u16 entries, ways;     /* ways == entries: fully associative; 0: not said */
};

#define CPU_TLBS_MAX 16u
/* From leaf 18h, leaf 2, or AMD's 80000005h, 80000006h and 80000019h. *source: which, a word. Returns how many; 0: the processor
 * does not say. */
u32 cpu_tlbs_read(cpuid_fn read, struct cpu_tlb out[CPU_TLBS_MAX], const char **source);

/* Does a store take the place of all that is cached of its page for data? Only where CPUID says so: it names a TLB that loads and stores
 * have in common, and none of theirs alone. Under a hypervisor it is what a program made up, and never believed. where: emulator. */
bool cpu_stores_replace(cpuid_fn read, enum emulator where);

/* By how many bits an APIC id is shifted to name the core, the die and the package; 32 is possible. */
struct cpu_topology {
    u8 core_shift, die_shift, package_shift;
    const char *source; /* which leaf said so */
};
struct cpu_topology cpu_topology_read(cpuid_fn read);

/* What there is of each level among these ids. */
struct cpu_topology_count {
    u32 packages, dies, cores, clusters; /* clusters: of x2APIC logical ids, 16 ids each */
    u32 threads_max;                     /* of one core */
};
struct cpu_topology_count cpu_topology_count(const struct cpu_topology *t, const apic_id_t *ids, u32 n);

/* One line each: "L1d 32K/8, L1i 32K/8, L2 256K/8, L3 8M/16 (shared by 16)": size and ways. Cut to size - 1 characters. */
void cpu_caches_text(const struct cpu_cache *c, u32 n, char *out, size_t size);
/* "L1d 4K 64/4, L1d 2M+4M 32/4, ...": entries and ways. */
void cpu_tlbs_text(const struct cpu_tlb *t, u32 n, char *out, size_t size);
