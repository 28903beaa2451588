/* INVLPGB and RAR: which leaves and which MSR say that a CPU has them.
 *
 *     sources: kernel/remote_flush.c lib/format.c
 *     sanitize: address,undefined
 */
#include "kernel/remote_flush.h"
#include "tests/host/host.h"

static struct cpuid_regs leaf_0, leaf_7, leaf_80000000, leaf_80000008;
static u64 capabilities;
static bool msr_faults;
static u32 msr_reads;

static struct cpuid_regs read_leaf(u32 leaf, u32 sub)
{
    static const struct cpuid_regs none;
    return leaf == 0               ? leaf_0
           : leaf == 7 && sub == 0 ? leaf_7
           : leaf == 0x80000000u   ? leaf_80000000
           : leaf == 0x80000008u   ? leaf_80000008
                                   : none;
}

static bool read_capabilities(u64 *value)
{
    msr_reads++;
    *value = capabilities;
    return !msr_faults;
}

static void reset(u32 last, u32 extended)
{
    leaf_0 = (struct cpuid_regs){.eax = last};
    leaf_80000000 = (struct cpuid_regs){.eax = extended};
    leaf_7 = leaf_80000008 = (struct cpuid_regs){0};
    capabilities = 0;
    msr_faults = false;
    msr_reads = 0;
}

static const char *text_of(struct remote_flush f)
{
    static char text[96];
    remote_flush_text(&f, text, sizeof(text));
    return text;
}

#define SAYS(expected)                                                                                       \
    do {                                                                                                     \
        const char *text_ = text_of(remote_flush_read(read_leaf, read_capabilities));                        \
        HOST_CHECK(strcmp(text_, expected) == 0, "\"%s\"", text_);                                           \
    } while (0)

HOST_TEST(zen_3_has_invlpgb)
{
    reset(0x10, 0x80000023u);
    leaf_80000008 = (struct cpuid_regs){0x00003030, 0x111ef657 | 1u << 3, 0x0000700f, 0x00010007};
    SAYS("INVLPGB of up to 8 pages: detected, not used");
    leaf_80000008.ebx |= 1u << 21;
    SAYS("INVLPGB of up to 8 pages, in guests too: detected, not used");
    HOST_CHECK(msr_reads == 0, "an MSR was read that CPUID does not announce");
}

HOST_TEST(zen_2_has_not)
{
    reset(0x10, 0x80000020u);
    leaf_80000008 = (struct cpuid_regs){0x00003030, 0x010eb757 & ~(1u << 3), 0x0000700f, 0x00010007};
    SAYS("none");
    /* The bit for guests means nothing alone. */
    leaf_80000008.ebx |= 1u << 21;
    SAYS("none");
}

HOST_TEST(a_leaf_that_is_not_there_says_nothing)
{
    reset(6, 0x80000007u);
    leaf_80000008.ebx = ~0u;
    leaf_7.edx = ~0u;
    capabilities = ~0ull;
    SAYS("none");
    HOST_CHECK(msr_reads == 0, "the MSR was read");
}

HOST_TEST(sapphire_rapids_has_rar)
{
    reset(0x20, 0x80000008u);
    leaf_7.edx = 1u << 30;
    capabilities = 1u << 1;
    SAYS("RAR: detected, not used");
    HOST_CHECK(msr_reads == 1, "%u reads of the MSR", msr_reads);
    capabilities = 1u << 5; /* split-lock detection alone */
    SAYS("none");
}

HOST_TEST(the_msr_counts_only_where_cpuid_announces_it_and_it_can_be_read)
{
    reset(0x20, 0x80000008u);
    capabilities = 1u << 1;
    SAYS("none");
    HOST_CHECK(msr_reads == 0, "the MSR was read without its bit");
    leaf_7.edx = 1u << 30;
    msr_faults = true; /* a hypervisor that shows the bit and not the MSR */
    SAYS("none");
}

HOST_TEST(both_at_once_fit)
{
    reset(0x20, 0x80000008u);
    leaf_7.edx = 1u << 30;
    capabilities = ~0ull;
    leaf_80000008 = (struct cpuid_regs){.ebx = ~0u, .edx = ~0u};
    SAYS("INVLPGB of up to 65536 pages, in guests too; RAR: detected, not used");
    char small[20];
    struct remote_flush f = remote_flush_read(read_leaf, read_capabilities);
    remote_flush_text(&f, small, sizeof(small));
    HOST_CHECK(strlen(small) < sizeof(small), "not terminated");
}
