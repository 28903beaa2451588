/* The xAPIC driver: registers in an uncached page (SDM volume 3A, section 11.4.1), 8-bit ids. */
#include "apic/apic.h"
#include "lib/assert.h"
#include "lib/atomic.h"
#include "lib/cost.h"
#include "lib/counter.h"
#include "lib/log.h"
#include "lib/wait.h"

COUNTER(xapic_icr_stuck, "xAPIC: commands written although the one before had not left");

/* The bus takes a command away within a microsecond unless a target is stuck with both its slots for that priority
 * full. */
#define ICR_IDLE_MS 10

static u32 xapic_read(enum apic_reg r)
{
    return apic_mmio[r / 4];
}

static void xapic_write(enum apic_reg r, u32 v)
{
    apic_mmio[r / 4] = v;
}

/* Writing over a command that has not left loses it (SDM 11.6.1, delivery status), but waiting for ever would be worse:
 * after the limit the new command goes out, and the watchdog of whoever sent the old one reports what is missing. */
static void xapic_wait_idle(void)
{
    if (likely(!(xapic_read(APIC_REG_ICR) & ICR_PENDING)))
        return;
    struct wait w = WAIT("the xAPIC to send its last command", wait_ms(ICR_IDLE_MS));
    while (xapic_read(APIC_REG_ICR) & ICR_PENDING) {
        if (!wait_spin(&w)) {
            counter_inc(xapic_icr_stuck);
            return;
        }
    }
}

/* The only writer of the xAPIC ICR. Interrupts are off between its two registers, because a handler that sends would
 * leave its own destination in the upper one. */
static void xapic_icr_write(apic_id_t dest, u32 command)
{
    ASSERT(dest <= 0xff, "an xAPIC destination has 8 bits: this CPU cannot be reached without x2APIC");
    bool was_on = irq_save();
    xapic_wait_idle();
    counter_inc(icr_writes);
    xapic_write(APIC_REG_ICR_HIGH, dest << 24);
    /* An uncached store leaves after all earlier stores, so nothing but the compiler needs to be told.
     * orders: all that this CPU has stored before the interrupt; pairs with: the first reads of whoever the interrupt
     * starts (smp/drain.c:msg_drain, boot/trampoline.asm); else: the target could find nothing to do. */
    compiler_barrier();
    xapic_write(APIC_REG_ICR, command);
    cost_icr();
    irq_restore(was_on);
}

static void xapic_send_self(vector_t v)
{
    xapic_icr_write(0, ICR_FIXED | ICR_ASSERT | ICR_SELF | v);
}

const struct apic_driver xapic_driver = {
    .name = "xAPIC",
    .read = xapic_read,
    .write = xapic_write,
    .icr_write = xapic_icr_write,
    .send_self = xapic_send_self,
};
