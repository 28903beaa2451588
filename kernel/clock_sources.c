/* The TSC's frequency: claims read from CPUID, and measurements against the ACPI PM timer and the PIT. */
#include "kernel/clock_sources.h"

#include "kernel/clock_choose.h"
#include "lib/wait.h"

/* SDM volume 2, CPUID leaf 15h: TSC = crystal (ECX, Hz) * EBX / EAX. Without the crystal's frequency (ECX 0) the
 * ratio alone is worth nothing. */
u64 clock_cpuid_15h(void)
{
    if (cpuid(0, 0).eax < 0x15)
        return 0;
    struct cpuid_regs r = cpuid(0x15, 0);
    return r.eax ? (u64)r.ecx * r.ebx / r.eax : 0;
}

/* Leaf 16h: base frequency in MHz, rounded to the model's name; the TSC may run up to 1 % off it. */
u64 clock_cpuid_16h(void)
{
    if (cpuid(0, 0).eax < 0x16)
        return 0;
    return (cpuid(0x16, 0).eax & 0xffff) * 1000000ull;
}

/* VMware and KVM: leaf 40000010h has the virtual TSC's frequency in kHz. */
u64 clock_hypervisor_leaf(void)
{
    const u32 hypervisor_present = 1u << 31, first = 0x40000000, timing = 0x40000010;
    if (!(cpuid(1, 0).ecx & hypervisor_present))
        return 0;
    u32 last = cpuid(first, 0).eax;
    /* Without that range the CPU answers with its highest basic leaf, which can be anything. */
    if (last < timing || last > first + 0xffff)
        return 0;
    return cpuid(timing, 0).eax * 1000ull;
}

/* A counter that runs at a known frequency, up or down, and wraps. */
struct reference {
    const char *name;
    u64 hz;
    u32 mask;
    bool down;
    u32 (*read)(void);
};

/* One moment on both clocks. */
struct moment {
    u64 tsc, doubt;
    u32 count;
};

/* The crispest of a few readings: the TSC in the middle of the reading, known to within its length. */
static struct moment take_moment(const struct reference *r)
{
    struct moment best = {.doubt = ~0ull};
    for (u32 i = 0; i < 8; i++) {
        u64 before = rdtsc_ordered();
        u32 count = r->read();
        u64 took = rdtsc_ordered() - before;
        if (took < best.doubt)
            best = (struct moment){before + took / 2, took, count};
    }
    return best;
}

static u32 reference_since(const struct reference *r, u32 start, u32 now)
{
    return (r->down ? start - now : now - start) & r->mask;
}

/* Eight windows of 2.5 ms: enough for a median, and each long against the microsecond that a reading takes.
 * Nothing assumes that time runs smoothly between the ends of a window, nor that a window is exactly that long. */
#define WINDOWS         8u
#define WINDOWS_PER_S   400u
#define STANDS_STILL_US 10000u /* by the 4 GHz guess, so at least 10 ms: four windows */

static u64 measure(const struct reference *r)
{
    struct clock_window windows[WINDOWS];
    struct moment start = take_moment(r);
    for (u32 i = 0; i < WINDOWS; i++) {
        struct wait w = WAIT(r->name, tsc_from_us(STANDS_STILL_US));
        while (reference_since(r, start.count, r->read()) < r->hz / WINDOWS_PER_S)
            if (!wait_spin(&w))
                return 0;
        struct moment end = take_moment(r);
        u64 tsc = end.tsc - start.tsc;
        u32 ref = reference_since(r, start.count, end.count);
        if (ref == 0 || tsc >> 32) /* it went backwards, or the host slept: no window of 2.5 ms */
            return 0;
        windows[i] = (struct clock_window){tsc, ref, start.doubt + end.doubt};
        start = end;
    }
    return clock_windows_hz(windows, WINDOWS, r->hz);
}

/* ACPI 6.5, section 4.8.3.3: 3.579545 MHz, 24 or 32 bits. */
static u16 pm_timer_port;
static u32 pm_timer_read(void)
{
    return in32(pm_timer_port);
}

u64 clock_measure_pm_timer(const struct acpi_info *acpi)
{
    if (!acpi->pm_timer_port)
        return 0;
    pm_timer_port = acpi->pm_timer_port;
    const struct reference r = {.name = "the ACPI PM timer to move",
                                .hz = 3579545,
                                .mask = acpi->pm_timer_32bit ? 0xffffffff : 0xffffff,
                                .read = pm_timer_read};
    return measure(&r);
}

/* Intel 8254 data sheet. Channel 2 counts down from 65536 at 1.193182 MHz in mode 2 (reloads by itself, so wraps
 * after 55 ms) while its gate, bit 0 of port 61h, is on. Bit 1 of that port would send its output to the speaker. */
#define PIT_CHANNEL_2       0x42
#define PIT_COMMAND         0x43
#define PIT_GATE            0x61
#define PIT_GATE_ON         0x01
#define PIT_SPEAKER_ON      0x02
#define PIT_2_LATCH         0x80 /* channel 2: hold the count for reading */
#define PIT_2_MODE_2_16_BIT 0xb4 /* channel 2, low then high byte, mode 2, binary */

static u32 pit_read(void)
{
    out8(PIT_COMMAND, PIT_2_LATCH);
    u32 low = in8(PIT_CHANNEL_2);
    return low | (u32)in8(PIT_CHANNEL_2) << 8;
}

u64 clock_measure_pit(void)
{
    const struct reference r = {
        .name = "the PIT to count", .hz = 1193182, .mask = 0xffff, .down = true, .read = pit_read};
    u8 gate = in8(PIT_GATE);
    out8(PIT_GATE, (u8)((gate & ~PIT_SPEAKER_ON) | PIT_GATE_ON));
    out8(PIT_COMMAND, PIT_2_MODE_2_16_BIT);
    out8(PIT_CHANNEL_2, 0);
    out8(PIT_CHANNEL_2, 0);
    u64 hz = measure(&r);
    out8(PIT_GATE, gate);
    return hz;
}
