/* The APIC's error register, and the interrupt that announces it (SDM volume 3A, section 11.5.3). */
#include "apic/apic.h"
#include "lib/atomic.h"
#include "lib/counter.h"
#include "lib/log.h"

COUNTER(apic_errors, "local APIC error interrupts");

/* By bit number. Bits 0 to 3 belong to the bus of CPUs before the Pentium 4. */
static const char *const error_names[8] = {
    "send checksum",    "receive checksum",    "send accept (no CPU took it)", "receive accept",
    "redirectable IPI", "illegal vector sent", "illegal vector received",      "illegal register address",
};

u32 apic_error_take(void)
{
    /* Reading gives what the last write latched, so write first. x2APIC allows 0 only. */
    apic_driver->write(APIC_REG_ESR, 0);
    return apic_driver->read(APIC_REG_ESR);
}

/* Each kind of error is logged once per boot: a wrong destination in a loop would otherwise flood the console. */
static void log_new_errors(u32 errors)
{
    static u32 logged;
    u32 fresh = errors & ~atomic_fetch_or(&logged, errors);
    for (u32 i = 0; i < ARRAY_SIZE(error_names); i++)
        if (fresh >> i & 1)
            log_warn("apic: error on CPU %u: %s (bit %u of the error status; logged once)", cpu_self(),
                     error_names[i], i);
}

static void apic_error_interrupt(vector_t v)
{
    (void)v;
    counter_inc(apic_errors);
    log_new_errors(apic_error_take());
    apic_eoi();
}
VECTOR_HANDLER(apic_error, VECTOR_APIC_ERROR, apic_error_interrupt);
