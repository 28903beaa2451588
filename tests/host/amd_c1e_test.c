/* AMD's C1E: which CPUs can have it, and what is written there.
 *
 *     sources: kernel/amd_c1e.c lib/string.c
 *     sanitize: address,undefined
 */
#include "kernel/amd_c1e.h"

#include "kernel/trap.h"
#include "lib/log.h"
#include "tests/host/host.h"

struct cpu_features features;

static u64 msr;
static u32 reads, writes;
static bool read_faults, write_faults;

int safe_rdmsr(u32 n, u64 *out)
{
    HOST_CHECK(n == 0xc0010055, "MSR %x", n);
    reads++;
    *out = msr;
    return read_faults ? EXC_GENERAL_PROTECTION : 0;
}
int safe_wrmsr(u32 n, u64 v)
{
    HOST_CHECK(n == 0xc0010055, "MSR %x", n);
    writes++;
    msr = write_faults ? msr : v;
    return write_faults ? EXC_GENERAL_PROTECTION : 0;
}

static void come_up(const char *vendor, u32 family, u64 value)
{
    features = (struct cpu_features){.family = family};
    snprintf(features.vendor, sizeof(features.vendor), "%s", vendor);
    msr = value;
    reads = writes = 0;
    amd_c1e_init_cpu();
}

HOST_TEST(families_that_have_it)
{
    static const struct {
        const char *vendor;
        u32 family;
        bool has;
    } cpus[] = {{"AuthenticAMD", 0x0f, true},  {"AuthenticAMD", 0x10, true},  {"AuthenticAMD", 0x11, true},
                {"AuthenticAMD", 0x06, false}, {"AuthenticAMD", 0x12, false}, {"AuthenticAMD", 0x17, false},
                {"GenuineIntel", 0x0f, false}, /* Pentium 4 */
                {"HygonGenuine", 0x18, false}};
    for (u32 i = 0; i < ARRAY_SIZE(cpus); i++) {
        come_up(cpus[i].vendor, cpus[i].family, 3ull << 27);
        HOST_CHECK(amd_c1e_stops_timer(&features) == cpus[i].has, "%s family %x", cpus[i].vendor,
                   cpus[i].family);
        HOST_CHECK(cpus[i].has ? msr == 0 && writes == 1 : msr == 3ull << 27 && !reads && !writes,
                   "%s family %x: %lx after %u reads and %u writes", cpus[i].vendor, cpus[i].family, msr,
                   reads, writes);
    }
}

HOST_TEST(only_what_enters_it_is_cleared)
{
    come_up("AuthenticAMD", 0x10, ~0ull);
    HOST_CHECK(msr == ~(3ull << 27), "%lx", msr);
    come_up("AuthenticAMD", 0x10, 1ull << 28 | 0x814);
    HOST_CHECK(msr == 0x814, "by the hardware: %lx", msr);
    come_up("AuthenticAMD", 0x0f, 1ull << 27 | 0x814);
    HOST_CHECK(msr == 0x814, "by firmware: %lx", msr);
    come_up("AuthenticAMD", 0x10, 0x814);
    HOST_CHECK(msr == 0x814 && reads == 1 && !writes, "off already: %lx, %u writes", msr, writes);
}

HOST_TEST(a_hypervisor_may_not_have_the_register)
{
    read_faults = true;
    come_up("AuthenticAMD", 0x10, 3ull << 27);
    HOST_CHECK(!writes, "%u writes", writes);
    read_faults = false;
    write_faults = true;
    come_up("AuthenticAMD", 0x10, 3ull << 27);
    HOST_CHECK(writes == 1, "%u writes", writes);
    write_faults = false;
}
