/* TLB geometry: leaf 18h says it in full; before it, Intel has one-byte codes (leaf 2), AMD three leaves of packed fields. */
#include "kernel/cpu_caches.h"

#define LEAF_CODES  2u
#define LEAF_TLBS   0x18u
#define CODE_USE_18 0xfeu /* "see leaf 18h" */

static u32 put(struct cpu_tlb *out, u32 n, struct cpu_tlb t)
{
    if (n < CPU_TLBS_MAX && t.entries)
        out[n++] = t;
    return n;
}

/* SDM volume 2, CPUID, leaf 18h. */
static u32 read_18h(cpuid_fn read, struct cpu_tlb *out)
{
    u32 n = 0, end = read(LEAF_TLBS, 0).eax;
    for (u32 i = 0; i <= end && i < 64; i++) {
        struct cpuid_regs r = read(LEAF_TLBS, i);
        u32 kind = r.edx & 0x1f, ways = r.ebx >> 16, entries = r.ecx * ways;
        if (kind == 0 || kind > TLB_STORES)
            continue;
        n = put(out, n,
                (struct cpu_tlb){.level = (u8)(r.edx >> 5 & 7),
                                 .kind = (u8)kind,
                                 .pages = (u8)(r.ebx & 0xf),
                                 .entries = (u16)entries,
                                 .ways = (u16)(r.edx >> 8 & 1 ? entries : ways)});
    }
    return n;
}

/* SDM volume 2, table "Encoding of CPUID Leaf 2 Descriptors": those for TLBs. Where it names no ways, ours is 0. */
#define P_2M_4M (TLB_2M | TLB_4M)
static const struct code {
    u8 code;
    struct cpu_tlb tlb;
} codes[] = {
    {0x01, {1, TLB_CODE, TLB_4K, 32, 4}},
    {0x02, {1, TLB_CODE, TLB_4M, 2, 2}},
    {0x03, {1, TLB_DATA, TLB_4K, 64, 4}},
    {0x04, {1, TLB_DATA, TLB_4M, 8, 4}},
    {0x05, {2, TLB_DATA, TLB_4M, 32, 4}},
    {0x0b, {1, TLB_CODE, TLB_4M, 4, 4}},
    {0x4f, {1, TLB_CODE, TLB_4K, 32, 0}},
    {0x50, {1, TLB_CODE, TLB_4K | P_2M_4M, 64, 0}},
    {0x51, {1, TLB_CODE, TLB_4K | P_2M_4M, 128, 0}},
    {0x52, {1, TLB_CODE, TLB_4K | P_2M_4M, 256, 0}},
    {0x55, {1, TLB_CODE, P_2M_4M, 7, 7}},
    {0x56, {1, TLB_DATA, TLB_4M, 16, 4}},
    {0x57, {1, TLB_DATA, TLB_4K, 16, 4}},
    {0x59, {1, TLB_DATA, TLB_4K, 16, 16}},
    {0x5a, {1, TLB_DATA, P_2M_4M, 32, 4}},
    {0x5b, {1, TLB_DATA, TLB_4K | TLB_4M, 64, 0}},
    {0x5c, {1, TLB_DATA, TLB_4K | TLB_4M, 128, 0}},
    {0x5d, {1, TLB_DATA, TLB_4K | TLB_4M, 256, 0}},
    {0x61, {1, TLB_CODE, TLB_4K, 48, 48}},
    {0x63, {1, TLB_DATA, P_2M_4M, 32, 4}}, /* and the array for 1 GiB: the next entry */
    {0x63, {1, TLB_DATA, TLB_1G, 4, 4}},
    {0x64, {1, TLB_DATA, TLB_4K, 512, 4}},
    {0x6a, {1, TLB_DATA, TLB_4K, 64, 8}},
    {0x6b, {1, TLB_DATA, TLB_4K, 256, 8}},
    {0x6c, {1, TLB_DATA, P_2M_4M, 128, 8}},
    {0x6d, {1, TLB_DATA, TLB_1G, 16, 16}},
    {0x76, {1, TLB_CODE, P_2M_4M, 8, 8}},
    {0xa0, {1, TLB_DATA, TLB_4K, 32, 32}},
    {0xb0, {1, TLB_CODE, TLB_4K, 128, 4}},
    {0xb1, {1, TLB_CODE, TLB_2M, 8, 4}}, /* or 4 of 4 MiB */
    {0xb2, {1, TLB_CODE, TLB_4K, 64, 4}},
    {0xb3, {1, TLB_DATA, TLB_4K, 128, 4}},
    {0xb4, {2, TLB_DATA, TLB_4K, 256, 4}},
    {0xb5, {1, TLB_CODE, TLB_4K, 64, 8}},
    {0xb6, {1, TLB_CODE, TLB_4K, 128, 8}},
    {0xba, {2, TLB_DATA, TLB_4K, 64, 4}},
    {0xc0, {1, TLB_DATA, TLB_4K | TLB_4M, 8, 4}},
    {0xc1, {2, TLB_UNIFIED, TLB_4K | TLB_2M, 1024, 8}},
    {0xc2, {1, TLB_DATA, TLB_4K | TLB_2M, 16, 4}},
    {0xc3, {2, TLB_UNIFIED, TLB_4K | TLB_2M, 1536, 6}}, /* and the array for 1 GiB */
    {0xc3, {2, TLB_UNIFIED, TLB_1G, 16, 4}},
    {0xc4, {1, TLB_DATA, P_2M_4M, 32, 4}},
    {0xca, {2, TLB_UNIFIED, TLB_4K, 512, 4}},
};

/* The 15 bytes behind AL, which says how often to ask: always 1. A register with bit 31 set has no codes. */
static u32 read_codes(cpuid_fn read, struct cpu_tlb *out, bool *see_18h)
{
    struct cpuid_regs r = read(LEAF_CODES, 0);
    const u32 word[] = {r.eax & ~0xffu, r.ebx, r.ecx, r.edx};
    u32 n = 0;
    for (u32 i = 0; i < 16; i++) {
        if (word[i / 4] >> 31)
            continue;
        u8 code = (u8)(word[i / 4] >> i % 4 * 8);
        *see_18h |= code == CODE_USE_18;
        for (u32 k = 0; k < ARRAY_SIZE(codes); k++)
            if (codes[k].code == code && code)
                n = put(out, n, codes[k].tlb);
    }
    return n;
}

/* The form of leaves 80000006h and 80000019h: 12 bits of entries and 4 of ways, for code below, for data above. */
static u32 amd_pair(struct cpu_tlb *out, u32 n, u32 word, u8 level, u8 pages)
{
    for (u32 i = 0; i < 2; i++, word >>= 16) {
        u32 entries = word & 0xfff;
        n = put(out, n,
                (struct cpu_tlb){level, i ? TLB_DATA : TLB_CODE, pages, (u16)entries,
                                 (u16)cpu_amd_ways(word >> 12 & 0xf, entries)});
    }
    return n;
}

/* The form of leaf 80000005h: 8 bits each, all ones for fully associative. */
static u32 amd_bytes(struct cpu_tlb *out, u32 n, u32 word, u8 pages)
{
    for (u32 i = 0; i < 2; i++, word >>= 16) {
        u32 entries = word & 0xff, ways = word >> 8 & 0xff;
        n = put(out, n,
                (struct cpu_tlb){1, i ? TLB_DATA : TLB_CODE, pages, (u16)entries,
                                 (u16)(ways == 0xff ? entries : ways)});
    }
    return n;
}

static u32 read_amd(cpuid_fn read, struct cpu_tlb *out)
{
    u32 n = 0, end = cpuid_last(read, 0x80000000u);
    if (end >= 0x80000005u) {
        struct cpuid_regs r = read(0x80000005u, 0);
        n = amd_bytes(out, n, r.ebx, TLB_4K);
        n = amd_bytes(out, n, r.eax, P_2M_4M);
    }
    if (end >= 0x80000019u)
        n = amd_pair(out, n, read(0x80000019u, 0).eax, 1, TLB_1G);
    if (end >= 0x80000006u) {
        struct cpuid_regs r = read(0x80000006u, 0);
        n = amd_pair(out, n, r.ebx, 2, TLB_4K);
        n = amd_pair(out, n, r.eax, 2, P_2M_4M);
    }
    if (end >= 0x80000019u)
        n = amd_pair(out, n, read(0x80000019u, 0).ebx, 2, TLB_1G);
    return n;
}

/* AMD's 80000005h is reserved on Intel's, whose leaf 2 is reserved on AMD's: both read 0 there. */
u32 cpu_tlbs_read(cpuid_fn read, struct cpu_tlb out[CPU_TLBS_MAX], const char **source)
{
    u32 end = cpuid_last(read, 0), n = 0;
    bool see_18h = false;
    *source = "CPUID 2";
    if (end >= LEAF_CODES)
        n = read_codes(read, out, &see_18h);
    if (end >= LEAF_TLBS && (see_18h || n == 0)) {
        *source = "CPUID 18h";
        n = read_18h(read, out);
    }
    if (n == 0) {
        *source = "CPUID 80000005h";
        n = read_amd(read, out);
    }
    if (n == 0)
        *source = "none";
    return n;
}

bool cpu_stores_replace(cpuid_fn read, enum emulator where)
{
    struct cpu_tlb t[CPU_TLBS_MAX];
    const char *source;
    bool common = false;
    if (where == EMULATOR_BOCHS)
        return true; /* it has one, whatever its CPUID says of the processor that it plays */
    if (where != EMULATOR_NONE)
        return false;
    for (u32 i = cpu_tlbs_read(read, t, &source); i--;) {
        if (t[i].kind == TLB_LOADS || t[i].kind == TLB_STORES)
            return false;
        common |= t[i].level == 1 && t[i].kind != TLB_CODE && t[i].pages & TLB_4K;
    }
    return common;
}
