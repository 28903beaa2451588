/* The way to the wanted APIC mode from every state that firmware can leave, by the rules of the manual's state diagram.
 *
 *     sources: apic/base.c
 *     sanitize: address,undefined
 */
#include "apic/base.h"

#include "tests/host/host.h"

#define PAGE  0xfee00000ull
#define MOVED 0x123fee01000ull

enum mode { OFF, XAPIC, X2APIC, INVALID };

static enum mode mode_of(u64 base)
{
    bool on = base & APIC_BASE_EN, extended = base & APIC_BASE_EXTD;
    return on ? (extended ? X2APIC : XAPIC) : (extended ? INVALID : OFF);
}

/* Figure 11-27 and table 11-5 of SDM volume 3A, less the steps that switch the APIC off. */
static bool step_is_allowed(u64 from, u64 to)
{
    enum mode a = mode_of(from), b = mode_of(to);
    return (a == b && a != OFF) || (a == OFF && b == XAPIC) || (a == XAPIC && b == X2APIC);
}

HOST_TEST(every_state_reaches_the_wanted_mode)
{
    static const u64 pages[] = {PAGE, MOVED};
    for (u32 state = 0; state < 32; state++) {
        u64 now = pages[state & 1] | (state & 2 ? APIC_BASE_BSP : 0) | (state & 4 ? APIC_BASE_EN : 0) |
                  (state & 8 ? APIC_BASE_EXTD : 0);
        bool x2apic = state & 16;
        if (mode_of(now) == INVALID)
            continue;
        u64 step[APIC_BASE_STEPS];
        u32 n = apic_base_steps(now, PAGE, x2apic, step);
        if (mode_of(now) == X2APIC && !x2apic) {
            HOST_CHECK(n == APIC_BASE_NO_WAY, "state %u: %u steps back to xAPIC", state, n);
            continue;
        }
        if (!HOST_CHECK(n <= APIC_BASE_STEPS, "state %u: %u steps", state, n))
            continue;
        u64 at = now;
        for (u32 i = 0; i < n; i++) {
            HOST_CHECK(step_is_allowed(at, step[i]), "state %u step %u: %lx to %lx", state, i, at, step[i]);
            HOST_CHECK(step[i] != at, "state %u step %u writes what is there", state, i);
            at = step[i];
        }
        HOST_CHECK(mode_of(at) == (x2apic ? X2APIC : XAPIC), "state %u ends at %lx", state, at);
        HOST_CHECK((at & APIC_BASE_BSP) == (now & APIC_BASE_BSP), "state %u changes the BSP flag", state);
        if (mode_of(now) != X2APIC)
            HOST_CHECK((at & APIC_BASE_PAGE) == PAGE, "state %u ends with its page at %lx", state, at);
    }
}

HOST_TEST(what_is_right_is_left_alone)
{
    u64 step[APIC_BASE_STEPS];
    HOST_CHECK(apic_base_steps(PAGE | APIC_BASE_EN | APIC_BASE_BSP, PAGE, false, step) == 0, "xAPIC was on");
    HOST_CHECK(apic_base_steps(PAGE | APIC_BASE_EN | APIC_BASE_EXTD, PAGE, true, step) == 0, "x2APIC was on");
}

static u64 capabilities, status;
static u32 reads;
static u64 read_msr(u32 msr)
{
    reads++;
    if (msr == 0xbd)
        HOST_CHECK(capabilities >> 21 & 1, "an MSR that is not there was read");
    return msr == 0x10a ? capabilities : msr == 0xbd ? status : 0;
}

HOST_TEST(xapic_locked_out)
{
    for (u32 i = 0; i < 8; i++) {
        capabilities = i & 1 ? 1ull << 21 : ~(1ull << 21);
        status = i & 2 ? 1 : ~1ull;
        reads = 0;
        bool said = i & 4, locked = apic_base_locked(said, read_msr);
        HOST_CHECK(locked == (said && (i & 1) && (i & 2)), "case %u", i);
        HOST_CHECK(said || reads == 0, "case %u: an MSR was read that CPUID does not speak of", i);
    }
}
