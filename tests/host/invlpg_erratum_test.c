/* Which CPUs have the erratum of INVLPG: models, microcode, hypervisors. And what they then go without.
 *
 *     sources: kernel/invlpg_erratum.c lib/string.c
 *     sanitize: address,undefined
 */
#include "kernel/invlpg_erratum.h"
#include "tests/host/host.h"

static struct cpu_features cpu(const char *vendor, u32 family, u32 model)
{
    struct cpu_features f = {.family = family, .model = model};
    snprintf(f.vendor, sizeof(f.vendor), "%s", vendor);
    return f;
}

HOST_TEST(old_microcode_has_it_and_new_has_not)
{
    static const struct {
        u32 model, fixed_in;
    } known[] = {{0x97, 0x2e}, {0x9a, 0x42c}, {0xbe, 0x11}, {0xb7, 0x118}, {0xba, 0x4117}, {0xbf, 0x2e}};
    for (u32 i = 0; i < ARRAY_SIZE(known); i++) {
        struct cpu_features f = cpu("GenuineIntel", 6, known[i].model);
        u32 fixed_in = 0;
        HOST_CHECK(invlpg_erratum_applies(&f, known[i].fixed_in - 1, &fixed_in), "model %x", known[i].model);
        HOST_CHECK(fixed_in == known[i].fixed_in, "model %x: mended in %x", known[i].model, fixed_in);
        HOST_CHECK(!invlpg_erratum_applies(&f, known[i].fixed_in, &fixed_in), "model %x", known[i].model);
        HOST_CHECK(invlpg_erratum_applies(&f, 0, &fixed_in), "model %x, unknown microcode", known[i].model);
    }
}

HOST_TEST(a_hypervisors_revision_is_not_believed)
{
    struct cpu_features f = cpu("GenuineIntel", 6, 0x97);
    u32 fixed_in;
    f.hypervisor = true;
    HOST_CHECK(invlpg_erratum_applies(&f, ~0u, &fixed_in), "a guest that claims the newest microcode");
}

HOST_TEST(others_have_it_not)
{
    const struct cpu_features others[] = {
        cpu("GenuineIntel", 6, 0x7e),  /* Ice Lake */
        cpu("GenuineIntel", 6, 0xaa),  /* Meteor Lake */
        cpu("GenuineIntel", 19, 0x97), /* the same model number in another family */
        cpu("AuthenticAMD", 6, 0x97),
    };
    u32 fixed_in;
    for (u32 i = 0; i < ARRAY_SIZE(others); i++)
        HOST_CHECK(!invlpg_erratum_applies(&others[i], 0, &fixed_in), "%s family %u model %x",
                   others[i].vendor, others[i].family, others[i].model);
}

/* Of all that can be on when the erratum is found: one of the two goes where both are, and nothing else ever does. */
HOST_TEST(only_both_together_cost_one)
{
    for (u32 i = 0; i < 16; i++) {
        bool pge = i & 1, pcid = i & 2, invpcid = pcid && i & 4, insists = i & 8, both = pge && pcid;
        struct cpu_features f = cpu("GenuineIntel", 6, 0x97);
        f.pge = pge, f.pcid = pcid, f.invpcid = invpcid;
        const char *said = invlpg_erratum_avoid(&f, insists);
        HOST_CHECK(f.invlpg_erratum && !(f.pge && f.pcid), "case %u: both are on", i);
        HOST_CHECK(f.pge == (pge && !(both && insists)), "case %u: global pages %d, \"%s\"", i, f.pge, said);
        HOST_CHECK(f.pcid == (pcid && !(both && !insists)), "case %u: PCIDs %d, \"%s\"", i, f.pcid, said);
        HOST_CHECK(f.invpcid == (invpcid && f.pcid), "case %u: INVPCID %d", i, f.invpcid);
        HOST_CHECK(!strstr(said, "anyway") == both, "case %u: \"%s\"", i, said);
        HOST_CHECK(!both || strstr(said, insists ? "no global pages" : "no PCIDs") == said, "case %u: \"%s\"",
                   i, said);
    }
}
