#include "apic/fault.h"

#include "apic/apic.h"
#include "lib/atomic.h"

static apic_fault_fn fault_fn;
static struct apic_driver faulty; /* xAPIC: filled before it is used */

void apic_icr_write_now(apic_id_t dest, u32 command)
{
    if (!apic_is_x2apic) {
        xapic_driver.icr_write(dest, command);
        return;
    }
    /* orders: this CPU's stores before the interrupt; pairs with: the first reads of whoever it starts, as in
     * apic/x2apic.h:x2apic_icr_write; else: as there. */
    fence_before_x2apic_icr();
    wrmsr(MSR_X2APIC(APIC_REG_ICR), (u64)dest << 32 | command);
}

void apic_fault_icr(apic_id_t dest, u32 command)
{
    apic_fault_fn fn = atomic_load_relaxed(&fault_fn);
    for (u32 times = fn ? fn(dest, command) : 1; times; times--)
        apic_icr_write_now(dest, command);
}

void apic_fault_use(apic_fault_fn fn)
{
    atomic_store_relaxed(&fault_fn, fn);
    if (apic_is_x2apic)
        return;
    faulty = xapic_driver;
    faulty.icr_write = apic_fault_icr;
    atomic_store_relaxed(&apic_driver, fn ? &faulty : &xapic_driver);
}
