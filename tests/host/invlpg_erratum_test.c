/* Which CPUs have the erratum of INVLPG: models, microcode, hypervisors.
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
