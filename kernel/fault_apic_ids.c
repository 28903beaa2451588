#include "kernel/fault_apic_ids.h"

#include "apic/apic.h"
#include "lib/atomic.h"
#include "lib/log.h"
#include "lib/param.h"
#include "lib/string.h"
#include "lib/wait.h"
#include "mm/frame.h"
#include "mm/layout.h"

#define LIFT     0x20u /* above the ids of all CPUs of the machines on which this is tried */
#define INIT_US  10000u
#define LIMIT_MS 100u

/* kernel/fault_apic_ids_lift.asm */
extern const char lift_start[], lift_params[], lift_end[];
struct lift_params {
    u32 id_register; /* physical */
    u32 add;
    u32 id; /* what the register reads then */
};

static bool asked;
static const char *set(const char *value)
{
    return parse_on_off(value, &asked) ? NULL : "on or off";
}
PARAM(fault_apic_ids, "fault_apic_ids",
      "fault_apic_ids=on|off  test: with x2apic=off, the other CPUs get other APIC ids than CPUID says", set);

apic_id_t fault_apic_id(apic_id_t named)
{
    if (!asked || apic_is_x2apic)
        return named;
    paddr_t page = frame_low_page();
    if (paddr_is_none(page))
        return named;
    u8 *code = phys_to_virt(page);
    memcpy(code, lift_start, (size_t)(lift_end - lift_start));
    struct lift_params *p = (struct lift_params *)(code + (lift_params - lift_start));
    *p = (struct lift_params){.id_register = (u32)apic_mmio_page().v + APIC_REG_ID, .add = LIFT << 24};
    apic_send_init(named);
    delay_us(INIT_US);
    apic_send_startup(named, page);
    struct wait w = WAIT("a CPU to take another APIC id", wait_ms(LIMIT_MS));
    while (!atomic_load_relaxed(&p->id))
        if (!wait_spin(&w)) {
            log_error("fault_apic_ids: the CPU of APIC id %u does not start", named);
            return named;
        }
    apic_id_t now = atomic_load_relaxed(&p->id) >> 24;
    log_info("fault_apic_ids: the CPU of APIC id %u has %u now", named, now);
    return now;
}
