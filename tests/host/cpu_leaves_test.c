/* Caches, TLBs and topology of several processors, from their CPUID leaves as the vendors document them.
 *
 *     sources: kernel/cpu_caches.c kernel/cpu_tlbs.c kernel/cpu_topology.c
 *     sanitize: address,undefined
 */
#include "kernel/cpu_caches.h"
#include "tests/host/host.h"

struct leaf {
    u32 leaf, sub;
    struct cpuid_regs r;
};
#define ANY (~0u) /* any sub-leaf */

/* ---- recorded leaves ---- */

static const struct leaf skylake[] = {
    /* a desktop processor of 4 cores with 2 threads, family 6 model 5Eh */
    {0, ANY, {0x16, 0x756e6547, 0x6c65746e, 0x49656e69}},
    {1, ANY, {0x000506e3, 0x00100800, 0x7ffafbff, 0xbfebfbff}},
    {2, ANY, {0x76036301, 0x00f0b5ff, 0x00000000, 0x00c30000}},
    {4, 0, {0x1c004121, 0x01c0003f, 0x0000003f, 0}},
    {4, 1, {0x1c004122, 0x01c0003f, 0x0000003f, 0}},
    {4, 2, {0x1c004143, 0x00c0003f, 0x000003ff, 0}},
    {4, 3, {0x1c03c163, 0x03c0003f, 0x00001fff, 6}},
    {0xb, 0, {1, 2, 0x100, 0}},
    {0xb, 1, {4, 8, 0x201, 0}},
    {0x80000000, ANY, {0x80000008, 0, 0, 0}},
    {0x80000008, ANY, {0x3027, 0, 0, 0}},
};
static const struct leaf alder_lake[] = {
    /* a performance core */
    {0, ANY, {0x20, 0x756e6547, 0x6c65746e, 0x49656e69}},
    {1, ANY, {0x00090672, 0x00800800, 0x7ffafbff, 0xbfebfbff}},
    {2, ANY, {0x00feff01, 0x000000f0, 0, 0}},
    {4, 0, {0xfc004121, 0x02c0003f, 0x0000003f, 0}},
    {4, 1, {0xfc004122, 0x01c0003f, 0x0000003f, 0}},
    {4, 2, {0xfc01c143, 0x0240003f, 0x000007ff, 0}},
    {4, 3, {0xfc1fc163, 0x0240003f, 0x0000bfff, 4}},
    {0x18, 0, {8, 0, 0, 0}},
    {0x18, 1, {0, 0x00080001, 0x20, 0x4022}},
    {0x18, 2, {0, 0x00080006, 0x04, 0x4022}},
    {0x18, 3, {0, 0x0010000f, 0x01, 0x4125}},
    {0x18, 4, {0, 0x00060001, 0x10, 0x4024}},
    {0x18, 5, {0, 0x00040006, 0x08, 0x4024}},
    {0x18, 6, {0, 0x00080008, 0x01, 0x4124}},
    {0x18, 7, {0, 0x00080007, 0x80, 0x4043}},
    {0x18, 8, {0, 0x00080009, 0x80, 0x4043}},
    {0x1f, 0, {1, 2, 0x100, 0}},
    {0x1f, 1, {7, 24, 0x201, 0}},
    {0x80000000, ANY, {0x80000008, 0, 0, 0}},
};
static const struct leaf cascade_lake_ap[] = {
    /* two dies in a package */
    {0, ANY, {0x1f, 0x756e6547, 0x6c65746e, 0x49656e69}},
    {0x1f, 0, {1, 2, 0x100, 0}},
    {0x1f, 1, {6, 48, 0x201, 0}},
    {0x1f, 2, {7, 96, 0x502, 0}},
    {0x80000000, ANY, {0x80000008, 0, 0, 0}},
};
static const struct leaf zen2[] = {
    /* 8 cores with 2 threads, family 17h model 71h */
    {0, ANY, {0x10, 0x68747541, 0x444d4163, 0x69746e65}},
    {1, ANY, {0x00870f10, 0x00100800, 0x7ed8320b, 0x178bfbff}},
    {0xb, 0, {1, 2, 0x100, 0}},
    {0xb, 1, {4, 16, 0x201, 0}},
    {0x80000000, ANY, {0x80000020, 0, 0, 0}},
    {0x80000001, ANY, {0x00870f10, 0, 0x75c237ff, 0x2fd3fbff}},
    {0x80000005, ANY, {0xff40ff40, 0xff40ff40, 0x20080140, 0x20080140}},
    {0x80000006, ANY, {0x48006400, 0x68006400, 0x02006140, 0x01009140}},
    {0x80000008, ANY, {0x3030, 0, 0x700f, 0}},
    {0x80000019, ANY, {0xf040f040, 0, 0, 0}},
    {0x8000001d, 0, {0x00004121, 0x01c0003f, 0x0000003f, 0}},
    {0x8000001d, 1, {0x00004122, 0x01c0003f, 0x0000003f, 0}},
    {0x8000001d, 2, {0x00004143, 0x01c0003f, 0x000003ff, 2}},
    {0x8000001d, 3, {0x0001c163, 0x03c0003f, 0x00003fff, 1}},
    {0x8000001e, ANY, {0, 0x100, 0, 0}},
};
static const struct leaf barcelona[] = {
    /* 4 cores, family 10h: no leaf 0Bh, no 8000001Dh */
    {0, ANY, {5, 0x68747541, 0x444d4163, 0x69746e65}},
    {1, ANY, {0x00100f42, 0x00040800, 0x00802009, 0x178bfbff}},
    {0x80000000, ANY, {0x8000001b, 0, 0, 0}},
    {0x80000001, ANY, {0x00100f42, 0, 0x000037ff, 0xefd3fbff}},
    {0x80000005, ANY, {0xff30ff10, 0xff30ff20, 0x40020140, 0x40020140}},
    {0x80000006, ANY, {0x20800000, 0x42004200, 0x02008140, 0x0030b140}},
    {0x80000008, ANY, {0x3030, 0, 0x2003, 0}},
    {0x80000019, ANY, {0xf0300000, 0x60100000, 0, 0}},
};
static const struct leaf qemu[] = {
    /* QEMU's TCG, 4 CPUs: family 6 of AMD, and the leaf of later ones hidden */
    {0, ANY, {0xd, 0x68747541, 0x444d4163, 0x69746e65}},
    {1, ANY, {0x00000663, 0x00040800, 0xfffa3203, 0x178bfbff}},
    {0x80000000, ANY, {0x8000000a, 0x68747541, 0x444d4163, 0x69746e65}},
    {0x80000001, ANY, {0x00000663, 0, 0x00000175, 0x2fd3fbff}},
    {0x80000005, ANY, {0x01ff01ff, 0x01ff01ff, 0x40020140, 0x40020140}},
    {0x80000006, ANY, {0x00000000, 0x42004200, 0x02008140, 0x00808140}},
    {0x8000001d, 0, {0x00004121, 0x01c0003f, 0x0000003f, 1}},
};
static const struct leaf first_k8[] = {
    /* one core, family Fh model 5, no third level, whose word in 80000006h is reserved; leaves above 18h do not exist */
    {0, ANY, {1, 0x68747541, 0x444d4163, 0x69746e65}},
    {1, ANY, {0x00000f58, 0x00000800, 0, 0x078bfbff}},
    {0x80000000, ANY, {0x80000018, 0x68747541, 0x444d4163, 0x69746e65}},
    {0x80000001, ANY, {0x00000f58, 0x00000106, 0, 0xe1d3fbff}},
    {0x80000005, ANY, {0xff08ff08, 0xff20ff20, 0x40020140, 0x40020140}},
    {0x80000006, ANY, {0x00000000, 0x42004200, 0x04008140, 0x00000000}},
    {0x80000008, ANY, {0x3028, 0, 0, 0}},
};
static const struct leaf willamette[] = {
    /* a processor of Intel's from before leaf 4: of the older form it has the second level alone */
    {0, ANY, {2, 0x756e6547, 0x6c65746e, 0x49656e69}}, {1, ANY, {0x00000f0a, 0x00010808, 0, 0x3febfbff}},
    {2, ANY, {0x665b5001, 0, 0, 0x007a7040}},          {0x80000000, ANY, {0x80000006, 0, 0, 0}},
    {0x80000006, ANY, {0, 0, 0x01006040, 0}},
};
static const struct leaf core2[] = {
    /* 2 cores, one thread each, before leaf 0Bh */
    {0, ANY, {0xa, 0x756e6547, 0x6c65746e, 0x49656e69}},
    {1, ANY, {0x000006fd, 0x00020800, 0x0000e39d, 0xbfebfbff}},
    {2, ANY, {0x05b0b101, 0x005657f0, 0x00000000, 0x2cb4307d}},
    {4, 0, {0x04000121, 0x01c0003f, 0x0000003f, 1}},
    {4, 1, {0x04000122, 0x01c0003f, 0x0000003f, 1}},
    {4, 2, {0x04004143, 0x01c0003f, 0x00000fff, 1}},
    {0x80000000, ANY, {0x80000008, 0, 0, 0}},
    {0x80000008, ANY, {0x3024, 0, 0, 0}},
};

static const struct leaf *cpu;
static u32 leaves;

static struct cpuid_regs read_recorded(u32 leaf, u32 sub)
{
    for (u32 i = 0; i < leaves; i++)
        if (cpu[i].leaf == leaf && (cpu[i].sub == ANY || cpu[i].sub == sub))
            return cpu[i].r;
    return (struct cpuid_regs){0};
}

static char caches[256], tlbs[400];
static const char *tlb_source;
static struct cpu_topology topology;

static void read_all(cpuid_fn read)
{
    struct cpu_cache c[CPU_CACHES_MAX];
    struct cpu_tlb t[CPU_TLBS_MAX];
    cpu_caches_text(c, cpu_caches_read(read, c), caches, sizeof(caches));
    cpu_tlbs_text(t, cpu_tlbs_read(read, t, &tlb_source), tlbs, sizeof(tlbs));
    topology = cpu_topology_read(read);
}

#define READ(of)                                                                                             \
    do {                                                                                                     \
        cpu = (of);                                                                                          \
        leaves = ARRAY_SIZE(of);                                                                             \
        read_all(read_recorded);                                                                             \
    } while (0)
#define SAYS(text, expected) HOST_CHECK(!strcmp(text, expected), "\"%s\"", text)

static void shifts(u32 core, u32 die, u32 package, const char *source)
{
    HOST_CHECK(topology.core_shift == core && topology.die_shift == die &&
                   topology.package_shift == package && !strcmp(topology.source, source),
               "core %u, die %u, package %u, by %s", topology.core_shift, topology.die_shift,
               topology.package_shift, topology.source);
}

HOST_TEST(skylake_has_codes)
{
    READ(skylake);
    SAYS(caches, "L1d 32K/8, L1i 32K/8, L2 256K/4, L3 8M/16 for 16 ids");
    SAYS(tlbs, "L1d 2M+4M 32/4, L1d 1G 4/full, L1d 4K 64/4, L1i 2M+4M 8/full, L1i 4K 64/8, L2 4K+2M 1536/6, "
               "L2 1G 16/4");
    SAYS(tlb_source, "CPUID 2");
    shifts(1, 4, 4, "CPUID 0Bh");
}

HOST_TEST(alder_lake_has_leaf_18h)
{
    READ(alder_lake);
    SAYS(caches, "L1d 48K/12, L1i 32K/8, L2 1280K/10 for 8 ids, L3 30M/10 for 128 ids");
    SAYS(tlbs,
         "L1i 4K 256/8, L1i 2M+4M 32/8, L1store 4K+2M+4M+1G 16/full, L1load 4K 96/6, L1load 2M+4M 32/4, "
         "L1load 1G 8/full, L2 4K+2M+4M 1024/8, L2 4K+1G 1024/8");
    SAYS(tlb_source, "CPUID 18h");
    shifts(1, 7, 7, "CPUID 1Fh");
}

HOST_TEST(dies_of_a_package)
{
    READ(cascade_lake_ap);
    shifts(1, 6, 7, "CPUID 1Fh");
    static const apic_id_t ids[] = {0, 1, 2, 64, 65, 128, 192};
    struct cpu_topology_count c = cpu_topology_count(&topology, ids, ARRAY_SIZE(ids));
    HOST_CHECK(c.packages == 2 && c.dies == 4 && c.cores == 5 && c.threads_max == 2 && c.clusters == 4,
               "%u packages, %u dies, %u cores, %u threads, %u clusters", c.packages, c.dies, c.cores,
               c.threads_max, c.clusters);
}

HOST_TEST(zen2_has_packed_fields)
{
    READ(zen2);
    SAYS(caches, "L1d 32K/8, L1i 32K/8, L2 512K/8, L3 16M/16 for 8 ids");
    SAYS(tlbs, "L1i 4K 64/full, L1d 4K 64/full, L1i 2M+4M 64/full, L1d 2M+4M 64/full, L1i 1G 64/full, L1d 1G "
               "64/full, "
               "L2i 4K 1024/8, L2d 4K 2048/8, L2i 2M+4M 1024/8, L2d 2M+4M 2048/4");
    SAYS(tlb_source, "CPUID 80000005h");
    shifts(1, 4, 4, "CPUID 0Bh");
}

HOST_TEST(older_processors)
{
    READ(barcelona);
    SAYS(caches, "L1d 64K/2, L1i 64K/2, L2 512K/16, L3 6M/48");
    SAYS(
        tlbs,
        "L1i 4K 32/full, L1d 4K 48/full, L1i 2M+4M 16/full, L1d 2M+4M 48/full, L1d 1G 48/full, L2i 4K 512/4, "
        "L2d 4K 512/4, L2d 2M+4M 128/2, L2d 1G 16/8");
    shifts(0, 2, 2, "CPUID 80000008h");
    READ(core2);
    SAYS(caches, "L1d 32K/8, L1i 32K/8, L2 2M/8");
    SAYS(tlbs, "L1i 2M 8/4, L1i 4K 128/4, L2d 4M 32/4, L1d 4K 16/4, L1d 4M 16/4, L2d 4K 256/4");
    shifts(0, 1, 1, "CPUID 1");
}

HOST_TEST(caches_of_older_leaves)
{
    READ(qemu);
    SAYS(caches, "L1d 64K/2, L1i 64K/2, L2 512K/16, L3 16M/16");
    READ(first_k8);
    SAYS(caches, "L1d 64K/2, L1i 64K/2, L2 1M/16");
    READ(willamette);
    SAYS(caches, "L2 256K/8");
    struct cpu_cache c[CPU_CACHES_MAX];
    READ(barcelona);
    HOST_CHECK(cpu_caches_read(read_recorded, c) == 4 && c[3].sets == 2048 && c[3].line == 64 &&
                   !c[3].shared_by && !c[0].fully_associative,
               "%u sets of %u bytes, shared by %u", c[3].sets, c[3].line, c[3].shared_by);
    /* Fully associative; and a level that is switched off, or of a code without meaning, is none. */
    static struct leaf made[] = {
        {0x80000000, ANY, {0x80000006, 0, 0, 0}},
        {0x80000005, ANY, {0, 0, 0x20ff0140, 0}},
        {0x80000006, ANY, {0, 0, 0x02000140, 0x00809140}},
    };
    READ(made);
    SAYS(caches, "L1d 32K/full");
    HOST_CHECK(cpu_caches_read(read_recorded, c) == 1 && c[0].ways == 512 && c[0].sets == 1, "%u ways",
               c[0].ways);
}

static bool replaces(const struct leaf *of, u32 n, enum emulator where)
{
    cpu = of;
    leaves = n;
    return cpu_stores_replace(read_recorded, where);
}
#define REPLACES(of) replaces(of, ARRAY_SIZE(of), EMULATOR_NONE)

/* opt=cow: nothing known of the TLBs is not one TLB. */
HOST_TEST(a_store_replaces_only_where_the_processor_says_so)
{
    static const struct leaf loads[] = {
        /* leaf 18h with the two of the first level alone, and with one for code */
        {0, ANY, {0x18, 0, 0, 0}},
        {0x18, 0, {1, 0, 0, 0}},
        {0x18, 1, {0, 0x00060001, 0x10, 0x4024}},
    };
    static const struct leaf code[] = {
        {0, ANY, {0x18, 0, 0, 0}},
        {0x18, 0, {1, 0, 0, 0}},
        {0x18, 1, {0, 0x00080001, 0x20, 0x4022}},
    };
    static const struct leaf large[] = {/* of data, but not of 4 KiB */
                                        {0, ANY, {0x18, 0, 0, 0}},
                                        {0x18, 0, {1, 0, 0, 0}},
                                        {0x18, 1, {0, 0x00040006, 0x08, 0x4021}}};
    static const struct leaf second[] = {/* of the second level alone */
                                         {0, ANY, {0x18, 0, 0, 0}},
                                         {0x18, 0, {1, 0, 0, 0}},
                                         {0x18, 1, {0, 0x00080007, 0x80, 0x4043}}};
    HOST_CHECK(REPLACES(skylake) && REPLACES(zen2) && REPLACES(core2), "one data TLB");
    HOST_CHECK(!REPLACES(alder_lake), "a TLB each for loads and for stores");
    HOST_CHECK(!replaces(NULL, 0, EMULATOR_NONE), "no leaf at all");
    HOST_CHECK(!REPLACES(cascade_lake_ap), "no leaf of TLBs");
    HOST_CHECK(!REPLACES(loads) && !REPLACES(code) && !REPLACES(large) && !REPLACES(second),
               "none of that kind");
    for (enum emulator e = EMULATOR_NONE; e <= EMULATOR_OTHER; e++)
        HOST_CHECK(replaces(skylake, ARRAY_SIZE(skylake), e) == (e == EMULATOR_NONE || e == EMULATOR_BOCHS),
                   "the same leaves in emulator %u", e);
    HOST_CHECK(replaces(NULL, 0, EMULATOR_BOCHS), "Bochs is known to have one");
}

/* A processor, or a hypervisor, whose every leaf is nonsense. */
static u64 random_state;
static struct cpuid_regs read_random(u32 leaf, u32 sub)
{
    (void)sub;
    u32 w[4];
    for (u32 i = 0; i < 4; i++) {
        random_state ^= random_state << 13;
        random_state ^= random_state >> 7;
        random_state ^= random_state << 17;
        w[i] = (u32)(random_state >> 11);
    }
    if (leaf == 0 || leaf == 0x80000000u)
        w[0] = leaf + (w[0] & 0x3f);
    return (struct cpuid_regs){w[0], w[1], w[2], w[3]};
}
static struct cpuid_regs read_constant(u32 leaf, u32 sub)
{
    (void)leaf, (void)sub;
    return (struct cpuid_regs){(u32)random_state, (u32)random_state, (u32)random_state, (u32)random_state};
}

HOST_TEST(nonsense_stays_within_bounds)
{
    random_state = 0x9e3779b97f4a7c15;
    for (u32 i = 0; i < 20000; i++) {
        read_all(i % 2 ? read_random : read_constant);
        random_state += i % 2 ? 0 : 0x0101010101010101;
        if (topology.core_shift > topology.package_shift || topology.die_shift > topology.package_shift ||
            topology.package_shift > 32 || strlen(caches) >= sizeof(caches) || strlen(tlbs) >= sizeof(tlbs))
            HOST_CHECK(false, "round %u: shifts %u %u %u", i, topology.core_shift, topology.die_shift,
                       topology.package_shift);
    }
    leaves = 0;
    read_all(read_recorded);
    HOST_CHECK(!caches[0] && !tlbs[0] && topology.package_shift == 0, "\"%s\", \"%s\"", caches, tlbs);
}
