/* The APIC's error interrupt is counted, taken with its status, and ended. It is raised by hand: no emulator raises it for an error, and QEMU
 * never clears the status once there is one in it. What real errors do to the status: tests/host/apic_test.c. */
#include "apic/apic.h"
#include "lib/atomic.h"
#include "lib/counter.h"
#include "lib/wait.h"
#include "tests/test.h"

#define APIC_MS   2000u /* an interrupt takes a microsecond; scaled under emulators */
#define SETTLE_US 500u

DECLARE_PERCPU(u64, counter_apic_errors);

static u64 errors_so_far(void)
{
    return atomic_load_relaxed(this_cpu_ptr(counter_apic_errors));
}

static void apic_error_interrupt_ends(struct test *t)
{
    (void)apic_error_take();
    u64 before = errors_so_far();
    irq_disable();
    apic_send_fixed_self(VECTOR_APIC_ERROR);
    struct wait w = WAIT("the error interrupt to be pending", wait_ms(APIC_MS));
    while (!apic_vector_pending(VECTOR_APIC_ERROR) && wait_spin(&w))
        ;
    u64 early = errors_so_far() - before;
    irq_enable();
    w = (struct wait)WAIT("the error interrupt", wait_ms(APIC_MS));
    while (errors_so_far() == before && wait_spin(&w))
        ;
    delay_us(SETTLE_US);
    CHECK(t, early == 0 && errors_so_far() == before + 1, "%lu before interrupts were on, %lu in all", early,
          errors_so_far() - before);
    CHECK(t, !apic_vector_pending(VECTOR_APIC_ERROR) && !apic_vector_in_service(VECTOR_APIC_ERROR),
          "the interrupt was not ended");
    CHECK(t, apic_error_take() == 0, "its handler has left errors in the status");
}
TEST(apic_error_interrupt_ends,
     "an APIC's error interrupt is counted, takes the status with it, and is ended");
