/* Asks the sources in order of trust, and compares them (kernel/clock_choose.h). */
#include "kernel/clock.h"

#include "kernel/clock_choose.h"
#include "kernel/clock_sources.h"
#include "lib/atomic.h"
#include "lib/log.h"
#include "lib/param.h"
#include "lib/wait.h"

const char *clock_source = "none";
bool clock_confirmed;
u64 clock_step = 1;
static u64 start_tsc, forced_hz;
static bool done;

static const char *set_tsc_hz(const char *value)
{
    u64 hz;
    if (done)
        return "only on the kernel's command line, because waits that began earlier would change their "
               "length";
    if (!parse_u64(value, &hz) || hz < CLOCK_HZ_MIN || hz > CLOCK_HZ_MAX)
        return "a frequency in Hz, 1000000 .. 17000000000";
    forced_hz = hz;
    return NULL;
}
PARAM(tsc_hz, "tsc_hz", "tsc_hz=N  the TSC's frequency in Hz, instead of finding it out", set_tsc_hz);

static u64 gcd(u64 a, u64 b)
{
    while (b) {
        u64 rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* In an emulator that steps the TSC by turns, a fixed loop would see multiples of its own length: so the length
 * varies. */
static u64 measure_step(void)
{
    u64 step = 0, last = rdtsc();
    for (u32 i = 0; i < 2000 && step != 1; i++) {
        for (u32 k = 0; k < i % 13; k++)
            compiler_barrier();
        u64 now = rdtsc();
        if (now > last)
            step = gcd(step, now - last);
        last = now;
    }
    return step ? step : 1;
}

struct readings {
    struct clock_reading r[6];
    u32 n;
};

static void add(struct readings *all, const char *source, u64 hz, bool measured)
{
    if (hz == 0)
        return;
    if (hz < CLOCK_HZ_MIN || hz > CLOCK_HZ_MAX)
        log_warn("clock: %s says the TSC runs at %lu Hz, possible are %llu to %llu; ignored", source, hz,
                 CLOCK_HZ_MIN, CLOCK_HZ_MAX);
    else
        all->r[all->n++] = (struct clock_reading){source, hz, measured};
}

/* A claim that the PM timer confirms needs no third source: the PIT, which recent machines switch off, is left
 * alone. */
static void ask_sources(struct readings *all, const struct acpi_info *acpi)
{
    u32 confirmed_by;
    add(all, "CPUID 15h", clock_cpuid_15h(), false);
    add(all, "hypervisor leaf", clock_hypervisor_leaf(), false);
    add(all, "ACPI PM timer", clock_measure_pm_timer(acpi), true);
    clock_choose(all->r, all->n, &confirmed_by);
    if (confirmed_by == all->n)
        add(all, "PIT", clock_measure_pit(), true);
    add(all, "CPUID 16h", clock_cpuid_16h(), false);
}

static void report(const struct readings *all, u32 chosen, u32 confirmed_by)
{
    const struct clock_reading *c = &all->r[chosen];
    char others[160];
    int n = 0;

    if (confirmed_by < all->n)
        log_info("clock: TSC %lu.%03lu MHz by %s, confirmed by %s; step %lu", c->hz / 1000000,
                 c->hz / 1000 % 1000, c->source, all->r[confirmed_by].source, clock_step);
    else
        log_warn("clock: TSC %lu.%03lu MHz by %s alone: no other source confirms it", c->hz / 1000000,
                 c->hz / 1000 % 1000, c->source);
    for (u32 i = 0; i < all->n; i++)
        if (!clock_agree(all->r[i].hz, c->hz) && (size_t)n < sizeof(others))
            n += format(others + n, sizeof(others) - (size_t)n, "%s%s (%lu.%03lu MHz)", n ? ", " : "",
                        all->r[i].source, all->r[i].hz / 1000000, all->r[i].hz / 1000 % 1000);
    if (n)
        log_warn("clock: contradicted by %s", others);
}

void clock_init(const struct acpi_info *acpi)
{
    struct readings all = {.n = 0};
    u32 confirmed_by;

    start_tsc = rdtsc();
    clock_step = measure_step();
    if (forced_hz)
        add(&all, "command line", forced_hz, false);
    ask_sources(&all, acpi);
    u32 chosen = clock_choose(all.r, all.n, &confirmed_by);
    if (forced_hz && chosen != 0) { /* an order, not a claim: used even if all measurements contradict it */
        chosen = 0;
        confirmed_by = all.n;
    }
    done = true;
    if (all.n == 0) {
        log_warn("clock: nothing says how fast the TSC runs, waits assume 4 GHz; tsc_hz=N on the command "
                 "line sets it");
        return;
    }
    clock_source = all.r[chosen].source;
    clock_confirmed = confirmed_by < all.n;
    tsc_hz = all.r[chosen].hz;
    report(&all, chosen, confirmed_by);
}

u64 clock_ns(void)
{
    return tsc_to_ns(rdtsc() - start_tsc);
}
