/* The x2APIC driver: every register is an MSR (SDM volume 3A, section 11.12.1). The ICR is in apic/x2apic.h. */
#include "apic/x2apic.h"
#include "apic/driver.h"

static u32 x2apic_read(enum apic_reg r)
{
    return (u32)rdmsr(MSR_X2APIC(r));
}

static void x2apic_write(enum apic_reg r, u32 v)
{
    wrmsr(MSR_X2APIC(r), v);
}

static void x2apic_icr(apic_id_t dest, u32 command)
{
    x2apic_icr_write(dest, command);
}

/* A register of its own, cheaper than the ICR. No fence: the interrupt comes to the CPU that made the stores, which
 * sees them in its own order. */
static void x2apic_send_self(vector_t v)
{
    counter_inc(icr_writes);
    wrmsr(MSR_X2APIC(APIC_REG_SELF_IPI), v);
    cost_icr();
}

const struct apic_driver x2apic_driver = {
    .name = "x2APIC",
    .read = x2apic_read,
    .write = x2apic_write,
    .icr_write = x2apic_icr,
    .send_self = x2apic_send_self,
};
