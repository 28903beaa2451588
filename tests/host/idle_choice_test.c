/* How idle CPUs wait, by what CPUID says: features, errata, emulators.
 *
 *     sources: kernel/idle_choose.c lib/string.c
 *     sanitize: address,undefined
 */
#include "kernel/idle.h"
#include "tests/host/host.h"

static struct cpu_features cpu(const char *vendor, u32 family, u32 model, bool mwait)
{
    struct cpu_features f = {.family = family, .model = model, .mwait = mwait};
    snprintf(f.vendor, sizeof(f.vendor), "%s", vendor);
    return f;
}

static enum idle_how choose(enum idle_how asked, const struct cpu_features *c, enum emulator e, u32 line)
{
    struct idle_facts f = {
        .cpu = c, .emulator = e, .line_min = line, .line_max = line, .break_on_masked = true};
    struct idle_choice got = idle_choose(asked, &f);
    HOST_CHECK(got.why && *got.why, "a choice has a reason");
    HOST_CHECK(got.how != IDLE_AUTO, "a choice is one of the ways");
    return got.how;
}

HOST_TEST(hardware_with_mwait)
{
    struct cpu_features c = cpu("GenuineIntel", 6, 0x9e, true);
    HOST_CHECK(choose(IDLE_AUTO, &c, EMULATOR_NONE, 64) == IDLE_MWAIT, "hardware that has it uses it");
    HOST_CHECK(choose(IDLE_AUTO, &c, EMULATOR_NONE, 0) == IDLE_HALT, "not if nobody says what is watched");
    HOST_CHECK(choose(IDLE_MWAIT, &c, EMULATOR_NONE, 0) == IDLE_MWAIT, "but if asked for");
    HOST_CHECK(choose(IDLE_AUTO, &c, EMULATOR_BOCHS, 64) == IDLE_HALT, "an emulator halts");
    HOST_CHECK(choose(IDLE_MWAIT, &c, EMULATOR_BOCHS, 64) == IDLE_MWAIT, "unless asked otherwise");
    HOST_CHECK(choose(IDLE_HALT, &c, EMULATOR_NONE, 64) == IDLE_HALT, "hlt is hlt");
    HOST_CHECK(choose(IDLE_POLL, &c, EMULATOR_NONE, 64) == IDLE_POLL, "poll is poll");
}

HOST_TEST(without_mwait)
{
    struct cpu_features c = cpu("GenuineIntel", 6, 0x9e, false);
    HOST_CHECK(choose(IDLE_AUTO, &c, EMULATOR_NONE, 64) == IDLE_HALT, "nothing to use");
    HOST_CHECK(choose(IDLE_MWAIT, &c, EMULATOR_NONE, 64) == IDLE_HALT, "not even if asked for");
}

HOST_TEST(errata)
{
    static const u32 models[] = {0x5c, 0xbd, 0x1d, 0x2e, 0x2f};
    for (u32 i = 0; i < ARRAY_SIZE(models); i++) {
        struct cpu_features c = cpu("GenuineIntel", 6, models[i], true);
        HOST_CHECK(choose(IDLE_AUTO, &c, EMULATOR_NONE, 64) == IDLE_HALT, "model %x has an erratum",
                   models[i]);
        HOST_CHECK(choose(IDLE_MWAIT, &c, EMULATOR_NONE, 64) == IDLE_HALT, "model %x, asked for", models[i]);
        struct cpu_features other = cpu("AuthenticAMD", 6, models[i], true);
        HOST_CHECK(choose(IDLE_AUTO, &other, EMULATOR_NONE, 64) == IDLE_MWAIT, "another vendor's model %x",
                   models[i]);
    }
}
