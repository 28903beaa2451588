/* Features: what is used exists, switches were obeyed, and a lesser CPU is recognised. */
#include "kernel/features.h"

#include "lib/string.h"
#include "lib/wait.h"
#include "lib/x86/cpu.h"
#include "tests/test.h"

static void features_found(struct test *t)
{
    struct cpu_features here;
    char missing[128];
    features_detect(&here);
    CHECK(t, features_missing(&features, &here, missing, sizeof(missing)) == 0, "uses what is not there: %s",
          missing);
    CHECK(t, here.nx && here.phys_bits >= 36 && here.phys_bits <= 52 && here.virt_bits >= 48,
          "NX %d, %u and %u address bits", here.nx, here.phys_bits, here.virt_bits);
    CHECK(t, strlen(here.vendor) == 12 && here.brand[0] != ' ', "vendor \"%s\", brand \"%s\"", here.vendor,
          here.brand);
    CHECK(t, wait_scale == (emulator == EMULATOR_NONE || emulator == EMULATOR_KVM ? 1 : 20),
          "limits are multiplied by %u on %s", wait_scale, emulator_name());
    CHECK(t, (emulator == EMULATOR_NONE || emulator == EMULATOR_BOCHS) == !here.hypervisor,
          "hypervisor bit %d, taken for %s", here.hypervisor, emulator_name());
    test_note(t, "%s on %s", here.brand, emulator_name());
}
TEST(features_found, "CPUID is read right, and only what is there is used");

static void features_mixed(struct test *t)
{
    struct cpu_features used = {.nx = true, .smep = true, .pcid = true, .fsgsbase = true, .phys_bits = 46};
    struct cpu_features have = used;
    char missing[128];
    CHECK(t, features_missing(&used, &have, missing, sizeof(missing)) == 0 && !missing[0],
          "equal CPUs, and yet: %s", missing);
    have.smap = true;
    CHECK(t, features_missing(&used, &have, missing, sizeof(missing)) == 0, "having more is no fault: %s",
          missing);
    have.fsgsbase = false;
    CHECK(t, features_missing(&used, &have, missing, sizeof(missing)) == 0,
          "what nobody relies on may differ: %s", missing);
    have.smep = have.pcid = false;
    have.phys_bits = 39;
    CHECK(t, features_missing(&used, &have, missing, sizeof(missing)) == 3, "found: %s", missing);
    CHECK(t, strcmp(missing, "pcid smep physical-address-bits") == 0, "named: %s", missing);
    char tiny[8];
    CHECK(t, features_missing(&used, &have, tiny, sizeof(tiny)) == 3 && strlen(tiny) < sizeof(tiny),
          "a short buffer is kept: %s", tiny);
}
TEST(features_mixed, "a CPU that lacks what the first one uses is recognised, with what it lacks");
