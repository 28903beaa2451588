/* The local APIC, whatever its wire: choice of mode, start on each CPU, ids, interrupts that are not on the hot
 * path. */
#include "apic/apic.h"
#include "apic/base.h"
#include "lib/assert.h"
#include "lib/counter.h"
#include "lib/log.h"

bool apic_is_x2apic;
volatile u32 *apic_mmio;
const struct apic_driver *apic_driver = &xapic_driver;

COUNTER(icr_writes, "interrupt commands written");

/* IA32_APIC_BASE's page on the boot CPU; the others are made to agree. */
static u64 base_page;

#define CPUID_1_ECX_X2APIC            (1u << 21)
#define CPUID_7_EDX_ARCH_CAPABILITIES (1u << 29)

static bool cpu_has_x2apic(void)
{
    return cpuid(1, 0).ecx & CPUID_1_ECX_X2APIC;
}

/* True if the CPU refuses to leave x2APIC mode. */
static bool x2apic_is_locked(void)
{
    bool capabilities = cpuid(0, 0).eax >= 7 && (cpuid(7, 0).edx & CPUID_7_EDX_ARCH_CAPABILITIES);
    return apic_base_locked(capabilities, rdmsr);
}

paddr_t apic_mmio_page(void)
{
    return PADDR(rdmsr(MSR_APIC_BASE) & APIC_BASE_PAGE);
}

/* CPUID.1:EDX[9] (APIC) is not asked: it reads 0 while firmware has the APIC globally disabled, and every 64-bit CPU
 * has one. */
err_t apic_init(bool want_x2apic, volatile u32 *mmio)
{
    bool has_x2apic = cpu_has_x2apic();
    bool already = has_x2apic && (rdmsr(MSR_APIC_BASE) & APIC_BASE_EXTD);
    if (already && !want_x2apic)
        /* Going back leads through the disabled state, from which some machines do not return. */
        log_warn("apic: firmware left x2APIC on%s: it stays on, although x2apic=off or its own tables ask "
                 "for xAPIC",
                 x2apic_is_locked() ? " and locked" : "");
    base_page = apic_mmio_page().v;
    apic_is_x2apic = already || (has_x2apic && want_x2apic);
    if (apic_is_x2apic) {
        apic_driver = &x2apic_driver;
        apic_mmio = NULL;
        return ERR_OK;
    }
    if (!mmio)
        return ERR_INVAL;
    apic_driver = &xapic_driver;
    apic_mmio = mmio;
    return ERR_OK;
}

/* Brings this CPU's APIC from whatever state firmware or INIT left it in to the chosen mode. */
static void enable_mode(void)
{
    ASSERT(!apic_is_x2apic || cpu_has_x2apic(),
           "this CPU lacks the x2APIC that the boot CPU has: boot with x2apic=off");
    u64 step[APIC_BASE_STEPS];
    u32 steps = apic_base_steps(rdmsr(MSR_APIC_BASE), base_page, apic_is_x2apic, step);
    ASSERT(steps != APIC_BASE_NO_WAY,
           "firmware left x2APIC on here but off on the boot CPU: boot without x2apic=off");
    for (u32 i = 0; i < steps; i++)
        wrmsr(MSR_APIC_BASE, step[i]);
    /* A logical id has one bit set, so it is never 0. Bochs before 2.8 computes it at the write after the one that
     * enters x2APIC mode, and without it cluster interrupts reach nobody; to hardware this is no change. */
    if (apic_is_x2apic && apic_logical_id() == 0)
        wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE));
    ASSERT(rdmsr(MSR_APIC_BASE) & APIC_BASE_EN, "the local APIC cannot be switched on");
}

/* Masks an LVT entry, unless firmware has routed it to its own SMI handler: that one is none of ours to silence. */
static void mask_lvt(enum apic_reg r)
{
    if ((apic_driver->read(r) & LVT_MODE) != LVT_MODE_SMI)
        apic_driver->write(r, LVT_MASKED);
}

static void init_lvt(bool boot_cpu)
{
    u32 last_lvt = apic_driver->read(APIC_REG_VERSION) >> 16 & 0xff;
    if (last_lvt >= 4)
        mask_lvt(APIC_REG_LVT_PERF);
    if (last_lvt >= 5)
        mask_lvt(APIC_REG_LVT_THERMAL);
    if (last_lvt >= 6)
        mask_lvt(APIC_REG_LVT_CMCI);
    apic_driver->write(APIC_REG_LVT_LINT0, LVT_MASKED); /* the 8259s' line: they are masked too */
    apic_driver->write(APIC_REG_LVT_LINT1,
                       boot_cpu ? LVT_MODE_NMI : LVT_MASKED); /* the NMI line: one CPU answers */

    apic_driver->write(APIC_REG_TIMER_INITIAL, 0); /* stops it */
    apic_driver->write(APIC_REG_TIMER_DIVIDE, TIMER_DIVIDE_16);
    apic_driver->write(APIC_REG_LVT_TIMER, LVT_TIMER_ONESHOT | VECTOR_TIMER);

    apic_error_take();
    apic_driver->write(APIC_REG_LVT_ERROR, VECTOR_APIC_ERROR);
}

/* An interrupt that firmware took and never ended blocks its own priority and all below. Each EOI ends the highest
 * one in service; interrupts are off, so no new one comes, and there are at most 224 (vectors 32 to 255). */
static void drain_in_service(void)
{
    for (u32 n = 0; n < 224; n++) {
        u32 any = 0;
        for (u32 i = 0; i < 8; i++)
            any |= apic_driver->read((enum apic_reg)(APIC_REG_ISR + i * 16));
        if (!any)
            return;
        apic_eoi();
    }
    log_warn("apic: %x: an interrupt that firmware left in service cannot be ended", apic_id());
}

void apic_init_cpu(void)
{
    ASSERT(!irq_enabled(), "the APIC is started with interrupts off");
    enable_mode();
    /* Software enable first: while it is off, LVT entries cannot be unmasked (SDM 11.4.7.2). */
    apic_driver->write(APIC_REG_SVR, SVR_ENABLE | VECTOR_SPURIOUS);
    init_lvt(rdmsr(MSR_APIC_BASE) & APIC_BASE_BSP);
    drain_in_service();
    apic_driver->write(APIC_REG_TPR, 0);
}

apic_id_t apic_id(void)
{
    u32 id = apic_driver->read(APIC_REG_ID);
    return apic_is_x2apic ? id : id >> 24;
}

bool apic_can_reach(apic_id_t id)
{
    return id < (apic_is_x2apic ? APIC_ID_NONE : 0xff);
}

u32 apic_logical_id(void)
{
    ASSERT(apic_is_x2apic, "logical ids are used in x2APIC mode only");
    return apic_driver->read(APIC_REG_LDR);
}

apic_id_t apic_id_cpuid(void)
{
    /* V2 extended topology (0x1f), extended topology (0xb): EDX is the x2APIC id if EBX[15:0], the number of logical
     * processors at this level, is not 0 (SDM volume 2, CPUID). boot/trampoline.asm does the same. */
    static const u32 topology_leaves[] = {0x1f, 0x0b};
    u32 last = cpuid(0, 0).eax;
    for (u32 i = 0; i < ARRAY_SIZE(topology_leaves); i++) {
        if (last < topology_leaves[i])
            continue;
        struct cpuid_regs r = cpuid(topology_leaves[i], 0);
        if (r.ebx & 0xffff)
            return r.edx;
    }
    return cpuid(1, 0).ebx >> 24;
}

void apic_send_fixed_self(vector_t v)
{
    apic_driver->send_self(v);
}

void apic_send_nmi(apic_id_t dest)
{
    apic_driver->icr_write(dest, ICR_NMI | ICR_ASSERT);
}

void apic_send_nmi_all_but_self(void)
{
    apic_driver->icr_write(0, ICR_NMI | ICR_ASSERT | ICR_ALL_BUT_SELF);
}

void apic_send_init(apic_id_t dest)
{
    apic_driver->icr_write(dest, ICR_INIT | ICR_ASSERT);
}

void apic_send_startup(apic_id_t dest, paddr_t page)
{
    /* The vector is the page's number; 0xa0 to 0xbf are reserved, because there is no RAM (SDM 9.4.4). */
    ASSERT(IS_ALIGNED(page.v, PAGE_SIZE) && page.v < 0xa0000,
           "an AP starts in a page of conventional memory");
    apic_driver->icr_write(dest, ICR_STARTUP | ICR_ASSERT | (u32)(page.v >> PAGE_SHIFT));
}

u64 apic_icr_writes(void)
{
    return this_cpu(counter_icr_writes);
}

static bool vector_bit(enum apic_reg first, vector_t v)
{
    return apic_driver->read((enum apic_reg)(first + v / 32 * 16)) >> v % 32 & 1;
}

bool apic_vector_pending(vector_t v)
{
    return vector_bit(APIC_REG_IRR, v);
}

bool apic_vector_in_service(vector_t v)
{
    return vector_bit(APIC_REG_ISR, v);
}
