/* The local APIC's room against a model of the hardware: MSRs that check what is written to them, in every state that firmware leaves, and
 * the registers in memory, whose interrupt command stays pending. On an emulator most of this never happens.
 *
 *     sources: apic/x2apic.c apic/xapic.c apic/base.c apic/error.c apic/timer.c apic/fault.c lib/wait.c
 *     sanitize: address,undefined
 */
#include <pthread.h>
#include <stdarg.h>
#include <unistd.h>

#include "apic/driver.h"
#include "apic/fault.h"
#include "apic/vectors.h"
#include "lib/atomic.h"
#include "lib/log.h"
#include "lib/wait.h"
#include "lib/x86/cpu.h"
#include "tests/host/host.h"

/* CPUID is an instruction of the host's: the room is given the model's instead. */
static struct cpuid_regs model_cpuid(u32 leaf, u32 subleaf);
#define cpuid model_cpuid
#include "apic/apic.c"
#undef cpuid

#define PAGE                  0xfee00000ull
#define MSR_TSC_DEADLINE      0x6e0u
#define MSR_ARCH_CAPABILITIES 0x10au
#define MSR_LOCK_STATUS       0xbdu

void cost_spend_icr(void) {}
DECLARE_PERCPU(u64, counter_apic_errors);
DECLARE_PERCPU(u64, counter_xapic_icr_stuck);

static struct {
    bool x2apic, locks;           /* CPUID */
    u32 topology_leaf, last_leaf; /* which of 0x1f and 0xb knows the id, and the last one there is */
    u64 base;
    u32 reg[64];     /* by number / 16 */
    u32 errors;      /* since the last write to the status */
    bool never_ends; /* an interrupt in service that no EOI ends */
    u32 eois;
    u64 icr, icrs, deadline;
    u32 base_writes;
} m;
static char warned[256];
static u32 warnings;

void log_line(enum log_level l, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    if (l == LOG_WARN) {
        vsnprintf(warned, sizeof(warned), fmt, ap);
        warnings++;
    }
    va_end(ap);
}

static struct cpuid_regs model_cpuid(u32 leaf, u32 subleaf)
{
    (void)subleaf;
    struct cpuid_regs r = {0};
    if (leaf == 0)
        r.eax = m.last_leaf;
    else if (leaf == 1)
        r = (struct cpuid_regs){.ebx = 0x21u << 24, .ecx = m.x2apic ? 1u << 21 : 0};
    else if (leaf == 7)
        r.edx = m.locks ? 1u << 29 : 0;
    else if (leaf == m.topology_leaf)
        r = (struct cpuid_regs){.ebx = 2, .edx = 0x12345};
    return r;
}

static u32 *reg(enum apic_reg r)
{
    return &m.reg[r >> 4];
}

static void end_highest(void)
{
    m.eois++;
    for (u32 v = 256; v-- > 32 && !m.never_ends;)
        if (*reg((enum apic_reg)(APIC_REG_ISR + v / 32 * 16)) >> v % 32 & 1) {
            *reg((enum apic_reg)(APIC_REG_ISR + v / 32 * 16)) &= ~(1u << v % 32);
            return;
        }
}

u64 rdmsr(u32 msr)
{
    if (msr == MSR_APIC_BASE)
        return m.base;
    if (msr == MSR_ARCH_CAPABILITIES || msr == MSR_LOCK_STATUS) {
        HOST_CHECK(m.locks, "MSR %x is not there", msr);
        return msr == MSR_LOCK_STATUS ? 1 : 1u << 21;
    }
    HOST_CHECK(m.base & APIC_BASE_EXTD && msr >= 0x800 && msr < 0x840, "MSR %x read, base %lx", msr, m.base);
    return m.reg[msr - 0x800];
}

static bool is_lvt(enum apic_reg r)
{
    return r == APIC_REG_LVT_CMCI || (r >= APIC_REG_LVT_TIMER && r <= APIC_REG_LVT_ERROR);
}

static u32 last_lvt(void)
{
    return *reg(APIC_REG_VERSION) >> 16 & 0xff;
}

static void write_register(enum apic_reg r, u32 v)
{
    u32 needs = r == APIC_REG_LVT_CMCI ? 6 : r == APIC_REG_LVT_THERMAL ? 5 : r == APIC_REG_LVT_PERF ? 4 : 0;
    HOST_CHECK(last_lvt() >= needs, "register %x of an APIC whose last LVT is %u", r, last_lvt());
    HOST_CHECK(r != APIC_REG_ID && r != APIC_REG_LDR && r != APIC_REG_VERSION, "register %x is read-only", r);
    if (r == APIC_REG_EOI || r == APIC_REG_ESR)
        HOST_CHECK(v == 0, "%x to register %x is #GP", v, r);
    if (is_lvt(r) && !(*reg(APIC_REG_SVR) & SVR_ENABLE))
        v |= LVT_MASKED;
    if (r == APIC_REG_EOI) {
        end_highest();
    } else if (r == APIC_REG_ESR) {
        *reg(r) = m.errors;
        m.errors = 0;
    } else {
        *reg(r) = v;
    }
}

void wrmsr(u32 msr, u64 v)
{
    if (msr == MSR_TSC_DEADLINE) {
        HOST_CHECK((*reg(APIC_REG_LVT_TIMER) & (3u << 17)) == LVT_TIMER_DEADLINE,
                   "a deadline in another mode");
        m.deadline = v;
    } else if (msr == MSR_APIC_BASE) {
        HOST_CHECK(!(v & APIC_BASE_EXTD) || (m.base & APIC_BASE_EN), "from off to x2APIC is #GP");
        if (m.base & APIC_BASE_EXTD) /* one write late, as Bochs has it */
            *reg(APIC_REG_LDR) = 1;
        m.base = v;
        m.base_writes++;
    } else if (msr == MSR_X2APIC(APIC_REG_ICR)) {
        m.icr = v;
        m.icrs++;
    } else {
        HOST_CHECK(m.base & APIC_BASE_EXTD, "MSR %x written, base %lx", msr, m.base);
        write_register((enum apic_reg)((msr - 0x800) << 4), (u32)v);
    }
}

/* A machine as firmware leaves it: last: the index of the last LVT entry. */
static void power_on(bool x2apic, u64 base, u32 last)
{
    memset(&m, 0, sizeof(m));
    m.x2apic = x2apic;
    m.last_leaf = 0x1f;
    m.topology_leaf = 0x1f;
    m.base = PAGE | base;
    *reg(APIC_REG_VERSION) = last << 16 | 0x15;
    for (u32 i = APIC_REG_LVT_TIMER; i <= APIC_REG_LVT_ERROR; i += 16)
        *reg((enum apic_reg)i) = LVT_MASKED;
    *reg(APIC_REG_LVT_PERF) = 0x55;
    *reg(APIC_REG_LVT_CMCI) = LVT_MODE_SMI | 0x10;
    *reg(APIC_REG_TPR) = 0x40;
    warnings = 0;
    host_cpu_index = 0;
    irq_disable();
}

HOST_TEST(starts_from_what_firmware_leaves)
{
    for (u32 last = 3; last <= 6; last++)
        for (u32 cpu = 0; cpu < 2; cpu++) {
            power_on(true, (cpu ? 0 : APIC_BASE_EN | APIC_BASE_BSP), last);
            *reg(APIC_REG_ISR + 0x20) = 0x80000001;
            *reg(APIC_REG_ISR + 0x70) = 0x80000000;
            m.errors = 0x40;
            HOST_CHECK(apic_init(true, NULL) == ERR_OK && apic_is_x2apic, "x2APIC is taken where it is");
            apic_init_cpu();
            HOST_CHECK((m.base & 0xfff) == (APIC_BASE_EN | APIC_BASE_EXTD | (cpu ? 0u : APIC_BASE_BSP)),
                       "base %lx", m.base);
            HOST_CHECK(apic_logical_id() == 1, "a logical id that comes one write late is waited for");
            HOST_CHECK(*reg(APIC_REG_SVR) == (SVR_ENABLE | VECTOR_SPURIOUS), "SVR %x", *reg(APIC_REG_SVR));
            HOST_CHECK(*reg(APIC_REG_LVT_PERF) == (last >= 4 ? LVT_MASKED : 0x55),
                       "performance counters' entry");
            HOST_CHECK(*reg(APIC_REG_LVT_CMCI) == (LVT_MODE_SMI | 0x10), "firmware's SMI is left to it");
            HOST_CHECK(*reg(APIC_REG_LVT_LINT0) == LVT_MASKED, "LINT0");
            HOST_CHECK(*reg(APIC_REG_LVT_LINT1) == (cpu ? LVT_MASKED : LVT_MODE_NMI), "LINT1 of CPU %u", cpu);
            HOST_CHECK(*reg(APIC_REG_LVT_ERROR) == VECTOR_APIC_ERROR, "the error's entry is open");
            HOST_CHECK(*reg(APIC_REG_LVT_TIMER) == VECTOR_TIMER && !*reg(APIC_REG_TIMER_INITIAL),
                       "the timer stands still");
            HOST_CHECK(m.eois == 3 && !apic_vector_in_service(64) && !apic_vector_in_service(95) &&
                           !apic_vector_in_service(255),
                       "%u EOIs for three interrupts in service", m.eois);
            HOST_CHECK(*reg(APIC_REG_TPR) == 0 && !m.errors && !warnings, "%u warnings", warnings);
        }
}

HOST_TEST(an_interrupt_that_cannot_be_ended_is_reported)
{
    power_on(true, APIC_BASE_EN | APIC_BASE_BSP, 5);
    *reg(APIC_REG_ISR + 0x20) = 1;
    m.never_ends = true;
    HOST_CHECK(apic_init(true, NULL) == ERR_OK, "apic_init");
    apic_init_cpu();
    HOST_CHECK(m.eois == 224 && warnings == 1 && strstr(warned, "cannot be ended"), "%u EOIs, %s", m.eois,
               warned);
}

HOST_TEST(mode_is_what_the_machine_has)
{
    static u32 page[1024];
    power_on(true, APIC_BASE_EN | APIC_BASE_EXTD, 5);
    for (u32 locked = 0; locked < 2; locked++) {
        m.locks = locked;
        warnings = 0;
        HOST_CHECK(apic_init(false, page) == ERR_OK && apic_is_x2apic && !apic_mmio, "left on: it stays on");
        HOST_CHECK(warnings == 1 && !strstr(warned, "and locked") == !locked, "%s", warned);
    }
    HOST_CHECK(apic_can_reach(0x100) && !apic_can_reach(APIC_ID_NONE), "32-bit ids");
    power_on(true, APIC_BASE_EN, 5);
    HOST_CHECK(apic_init(false, page) == ERR_OK && !apic_is_x2apic && apic_mmio == page, "x2apic=off");
    HOST_CHECK(apic_can_reach(0xfe) && !apic_can_reach(0xff), "8-bit ids");
    HOST_CHECK_PANICS(apic_logical_id());
    power_on(false, APIC_BASE_EN, 5);
    HOST_CHECK(apic_init(true, NULL) == ERR_INVAL, "xAPIC without its page");
    power_on(true, APIC_BASE_EN, 5);
    HOST_CHECK(apic_init(false, page) == ERR_OK, "xAPIC on the boot CPU");
    m.base |= APIC_BASE_EXTD;
    HOST_CHECK_PANICS(apic_init_cpu());
    HOST_CHECK(strstr(host_panic_text, "x2APIC on here but off on the boot CPU"), "%s", host_panic_text);
    power_on(true, APIC_BASE_EN, 5);
    HOST_CHECK(apic_init(true, NULL) == ERR_OK, "x2APIC on the boot CPU");
    m.x2apic = false;
    HOST_CHECK_PANICS(apic_init_cpu());
}

HOST_TEST(id_comes_from_the_best_leaf)
{
    power_on(true, APIC_BASE_EN, 5);
    HOST_CHECK(apic_id_cpuid() == 0x12345, "leaf 0x1f");
    m.topology_leaf = 0xb;
    HOST_CHECK(apic_id_cpuid() == 0x12345, "leaf 0xb, where 0x1f is empty");
    m.last_leaf = 0xb;
    HOST_CHECK(apic_id_cpuid() == 0x12345, "leaf 0xb, where there is no 0x1f");
    m.last_leaf = 7;
    HOST_CHECK(apic_id_cpuid() == 0x21, "leaf 1");
}

static void raise_vector(vector_t v)
{
    TABLE_FOREACH (vector, struct vector_handler, h)
        if (h->vector == v)
            h->fn(v);
}

HOST_TEST(each_error_is_counted_and_logged_once)
{
    power_on(true, APIC_BASE_EN | APIC_BASE_EXTD, 5);
    HOST_CHECK(apic_init(true, NULL) == ERR_OK, "apic_init");
    u64 before = this_cpu(counter_apic_errors);
    for (u32 round = 0; round < 2; round++) {
        m.errors = 1u << 5 | 1u << 2;
        *reg(APIC_REG_ISR + 0x70) = 1u << (VECTOR_APIC_ERROR % 32);
        raise_vector(VECTOR_APIC_ERROR);
        HOST_CHECK(m.eois == round + 1 && !apic_vector_in_service(VECTOR_APIC_ERROR), "%u EOIs", m.eois);
        HOST_CHECK(warnings == 2 && strstr(warned, "illegal vector sent"), "%u: %s", warnings, warned);
        HOST_CHECK(apic_error_take() == 0, "the status is taken");
    }
    HOST_CHECK(this_cpu(counter_apic_errors) == before + 2, "both were counted");
}

HOST_TEST(timer_in_both_modes)
{
    power_on(true, APIC_BASE_EN | APIC_BASE_EXTD, 5);
    HOST_CHECK(apic_init(true, NULL) == ERR_OK, "apic_init");
    apic_init_cpu();
    apic_timer_oneshot(77);
    HOST_CHECK(*reg(APIC_REG_TIMER_INITIAL) == 77, "the count");
    *reg(APIC_REG_TIMER_CURRENT) = 33;
    HOST_CHECK(apic_timer_left() == 33, "what is left of it");
    apic_timer_stop();
    HOST_CHECK(*reg(APIC_REG_TIMER_INITIAL) == 0, "stopped");
    HOST_CHECK_PANICS(apic_timer_oneshot(0));
    apic_timer_mode(true);
    apic_timer_deadline(1ull << 40);
    HOST_CHECK(m.deadline == 1ull << 40, "deadline %lx", m.deadline);
    apic_timer_mode(false);
    HOST_CHECK(*reg(APIC_REG_LVT_TIMER) == (LVT_TIMER_ONESHOT | VECTOR_TIMER), "one-shot again");
}

static u32 fault_times, fault_calls;
static u32 fault(apic_id_t dest, u32 command)
{
    (void)dest;
    (void)command;
    fault_calls++;
    return fault_times;
}

HOST_TEST(commands_name_whom_they_are_for)
{
    power_on(true, APIC_BASE_EN | APIC_BASE_EXTD, 5);
    HOST_CHECK(apic_init(true, NULL) == ERR_OK, "apic_init");
    apic_send_fixed(0x12345, 0x50);
    HOST_CHECK(m.icr == (0x12345ull << 32 | 0x4050), "fixed: %lx", m.icr);
    apic_send_fixed_all_but_self(0x50);
    HOST_CHECK((u32)m.icr == 0xc4050, "all but self: %lx", m.icr);
    apic_send_fixed_cluster(0x20003, 0x50);
    HOST_CHECK(m.icr == (0x20003ull << 32 | 0x4850), "cluster: %lx", m.icr);
    apic_send_nmi(7);
    HOST_CHECK(m.icr == (7ull << 32 | 0x4400), "NMI: %lx", m.icr);
    apic_send_nmi_all_but_self();
    HOST_CHECK((u32)m.icr == 0xc4400, "NMI to all: %lx", m.icr);
    apic_send_init(7);
    HOST_CHECK(m.icr == (7ull << 32 | 0x4500), "INIT: %lx", m.icr);
    apic_send_startup(7, PADDR(0x9f000));
    HOST_CHECK(m.icr == (7ull << 32 | 0x469f), "SIPI: %lx", m.icr);
    HOST_CHECK_PANICS(apic_send_startup(7, PADDR(0xa0000)));
    HOST_CHECK(m.icrs == 7, "%lu commands", m.icrs);
    apic_send_fixed_self(0x50);
    HOST_CHECK(*reg(APIC_REG_SELF_IPI) == 0x50 && m.icrs == 7, "to oneself by its own register");
    HOST_CHECK(apic_icr_writes() >= 8, "all were counted");

    apic_fault_use(fault); /* what is led through it by the patched site: tests/faults/ */
    for (fault_times = 0; fault_times < 3; fault_times++) {
        u64 before = m.icrs;
        apic_fault_icr(3, 0x4050);
        HOST_CHECK(m.icrs == before + fault_times, "%lu commands", m.icrs - before);
    }
    apic_fault_use(NULL);
    u64 before = m.icrs;
    apic_fault_icr(3, 0x4050);
    HOST_CHECK(m.icrs == before + 1 && fault_calls == 3, "one again");
}

/* ---- memory-mapped ---- */

static u32 mmio[1024];
static bool was_pending;

static void xapic_on(void)
{
    power_on(false, APIC_BASE_EN | APIC_BASE_BSP, 5);
    memset(mmio, 0, sizeof(mmio));
    mmio[APIC_REG_ID / 4] = 0x21u << 24;
    mmio[APIC_REG_VERSION / 4] = 0x50014;
    HOST_CHECK(apic_init(true, mmio) == ERR_OK && !apic_is_x2apic, "xAPIC");
    apic_init_cpu();
}

/* The bus, which is slow: only once the sender has been given time to go wrong. */
static void *bus(void *arg)
{
    (void)arg;
    usleep(20000);
    atomic_store_relaxed(&was_pending, mmio[APIC_REG_ICR / 4] == ICR_PENDING && !mmio[APIC_REG_ICR_HIGH / 4]);
    atomic_store_relaxed(&mmio[APIC_REG_ICR / 4], 0);
    return NULL;
}

HOST_TEST(memory_mapped_command_waits_for_the_one_before)
{
    pthread_t thread;
    xapic_on();
    HOST_CHECK(apic_id() == 0x21 && m.base_writes == 0, "id %x", apic_id());
    tsc_hz = 1000000000;
    wait_scale = 10000;
    mmio[APIC_REG_ICR / 4] = ICR_PENDING;
    pthread_create(&thread, NULL, bus, NULL);
    irq_enable();
    apic_send_fixed(9, 0x50);
    HOST_CHECK(irq_enabled(), "interrupts are on again");
    pthread_join(thread, NULL);
    HOST_CHECK(was_pending, "it was written over");
    HOST_CHECK(mmio[APIC_REG_ICR / 4] == 0x4050 && mmio[APIC_REG_ICR_HIGH / 4] == 9u << 24,
               "command %x for %x", mmio[APIC_REG_ICR / 4], mmio[APIC_REG_ICR_HIGH / 4]);
    HOST_CHECK(this_cpu(counter_xapic_icr_stuck) == 0, "nothing is stuck");

    wait_scale = 1;
    mmio[APIC_REG_ICR / 4] = ICR_PENDING;
    apic_send_fixed_self(0x51);
    HOST_CHECK(this_cpu(counter_xapic_icr_stuck) == 1, "a command that never leaves is given up");
    HOST_CHECK(mmio[APIC_REG_ICR / 4] == (ICR_SELF | 0x4051), "command %x", mmio[APIC_REG_ICR / 4]);
    HOST_CHECK_PANICS(apic_send_fixed(0x100, 0x50));
}

HOST_TEST(memory_mapped_commands_can_be_made_to_fail)
{
    xapic_on();
    apic_fault_use(fault);
    fault_times = 0;
    apic_send_fixed_all_but_self(0x50);
    HOST_CHECK(mmio[APIC_REG_ICR / 4] == 0, "lost: %x", mmio[APIC_REG_ICR / 4]);
    apic_icr_write_now(3, 0x4052);
    HOST_CHECK(mmio[APIC_REG_ICR / 4] == 0x4052, "past it: %x", mmio[APIC_REG_ICR / 4]);
    apic_fault_use(NULL);
    apic_send_fixed_all_but_self(0x50);
    HOST_CHECK(mmio[APIC_REG_ICR / 4] == 0xc4050, "sent: %x", mmio[APIC_REG_ICR / 4]);
    HOST_CHECK(apic_driver == &xapic_driver, "the usual driver is back");
}
