/* Starting the other CPUs (SDM volume 3A, section 9.4). Their side is boot/trampoline.asm.
 *
 * All are started at once, unless start=serial: each step goes to every CPU before the next one begins, so that the waits
 * (10 ms, 200 us, the slowest CPU) are paid once, whatever the number. A CPU's way is the state of its slot, changed by LOCKed
 * operations only:
 *
 *     OPEN ---- AP, in the trampoline ----> CLAIMED ---- AP, smp_cpu_online ----> ONLINE
 *       \---- boot CPU gives it up ----> CLOSED <---- boot CPU gives it up ----/
 *
 * An AP that finds another state than it expects halts for ever: it was started twice, or came too late. */
#include "apic/apic.h"
#include "lib/ap_params.h"
#include "lib/assert.h"
#include "lib/log.h"
#include "lib/param.h"
#include "lib/percpu.h"
#include "lib/string.h"
#include "lib/wait.h"
#include "lib/x86/cpu.h"
#include "lib/x86/desc.h"
#include "smp/ap_mailbox.h"
#include "smp/cpus.h"

/* struct ap_slot.claimed. boot/trampoline.asm knows the first two. */
enum slot_state { SLOT_OPEN = 0, SLOT_CLAIMED = 1, SLOT_ONLINE = 2, SLOT_CLOSED = 3 };

/* INIT takes effect within 10 ms; an AP that is there runs within 200 us of a SIPI (SDM 9.4.4.1; the MultiProcessor
 * Specification 1.4, appendix B.4, has the same figures). */
#define INIT_US    10000u
#define STARTUP_US 200u

#define MSR_EFER   0xc0000080u
#define EFER_LMA   (1ull << 10) /* read-only: follows LME and PG */
/* DE, PAE, MCE, PGE, OSFXSR and OSXMMEXCPT: what every 64-bit processor has. The rest is for features_init_cpu, once the CPU is known
 * to have it: a bit that it lacks would fault in the trampoline, where nothing handles that. */
#define CR4_START (1ull << 3 | 1ull << 5 | 1ull << 6 | 1ull << 7 | 1ull << 9 | 1ull << 10)
#define INT3      0xcc

/* Of IA32_APIC_BASE: reserved, and whether this is the boot CPU. */
#define XAPIC_BASE_OTHERS 0x3ffull

/* JMP ptr16:16, the trampoline's first instruction: opcode, 16-bit offset, 16-bit segment (SDM volume 2, JMP). */
#define FAR_JUMP_OPCODE  0xea
#define FAR_JUMP_SEGMENT 3

/* By cpu_t. The boot CPU's is closed from the start. */
static struct ap_slot slots[MAX_CPUS] CACHE_ALIGNED;

static u64 cpus_max = MAX_CPUS;
static cpu_t fault_ap = CPU_NONE;
static bool fault_ap_dies; /* it starts, and gets no further than smp_cpu_online */

static const char *set_cpus_max(const char *value)
{
    u64 n;
    if (!parse_u64(value, &n) || n < 1 || n > MAX_CPUS)
        return "a number of CPUs, 1 .. 512";
    cpus_max = n;
    return NULL;
}
PARAM(cpus_max, "cpus_max", "cpus_max=N  start at most N CPUs, the boot CPU included, 1 .. 512",
      set_cpus_max);

static bool serial_wanted;
bool smp_start_serial;
u64 smp_start_ticks, smp_start_commands;
u32 smp_start_waits;

static const char *set_start(const char *value)
{
    bool serial = strcmp(value, "serial") == 0;
    if (!serial && strcmp(value, "parallel") != 0)
        return "start=parallel or start=serial";
    serial_wanted = serial;
    return NULL;
}
PARAM(start, "start", "start=parallel|serial  the other CPUs all at once, or one after the other", set_start);

static const char *set_fault_ap(const char *value)
{
    u64 n;
    if (!parse_u64(value, &n) || n < 1 || n >= MAX_CPUS)
        return "the index of a CPU other than the boot CPU, 1 .. 511";
    fault_ap = (cpu_t)n;
    return NULL;
}
PARAM(fault_ap, "fault_ap", "fault_ap=N  test: CPU N never starts, 1 .. 511", set_fault_ap);

static const char *set_fault_ap_dies(const char *value)
{
    const char *allowed = set_fault_ap(value);
    fault_ap_dies = !allowed;
    return allowed;
}
PARAM(fault_ap_dies, "fault_ap_dies",
      "fault_ap_dies=N  test: CPU N starts, but dies before it is online, 1 .. 511", set_fault_ap_dies);

/* An id that no CPU has and that can be sent to: the highest below the broadcast id that is free. In xAPIC mode
 * there may be none, if 255 CPUs exist; then sending to the broadcast id is refused by the driver's assertion. */
static apic_id_t absent_apic_id(void)
{
    apic_id_t id = apic_is_x2apic ? APIC_ID_NONE - 1 : 0xfe;
    while (cpu_by_apic_id(id) != CPU_NONE)
        id--;
    return id;
}

static void fill_slots(const struct smp_start *s, u32 count)
{
    for (cpu_t c = 0; c < count; c++) {
        slots[c].apic_id = c == fault_ap && !fault_ap_dies ? absent_apic_id() : cpu_apic_id(c);
        slots[c].stack = s->stack_top[c];
        slots[c].cpu = c;
        atomic_store_relaxed(&slots[c].claimed, c ? SLOT_OPEN : SLOT_CLOSED);
    }
}

static struct ap_params *fill_page(const struct smp_start *s, u32 count)
{
    ASSERT(s->trampoline_params_offset + sizeof(struct ap_params) <= s->trampoline_size &&
               s->trampoline_size <= PAGE_SIZE && IS_ALIGNED(s->trampoline_params_offset, 8),
           "the trampoline ends with its parameters and fits into a page");
    ASSERT(s->temp_cr3 < 4 * GIB, "an AP loads its first CR3 in 32-bit code");
    u8 *page = s->page_virt;
    memset(page, INT3, PAGE_SIZE); /* a stray jump into what is left of it traps */
    memcpy(page, s->trampoline, s->trampoline_size);
    ASSERT(page[0] == FAR_JUMP_OPCODE, "the trampoline begins with a far jump");
    u16 segment = (u16)(s->page.v >> 4);
    memcpy(page + FAR_JUMP_SEGMENT, &segment, sizeof(segment));

    struct ap_params *p = (struct ap_params *)(page + s->trampoline_params_offset);
    *p = (struct ap_params){
        .page = s->page.v,
        .temp_cr3 = s->temp_cr3,
        .final_cr3 = s->final_cr3,
        .efer = rdmsr(MSR_EFER) & ~EFER_LMA,
        .cr0 = cr0_read(),
        .cr4 = cr4_read() & CR4_START,
        .slots = (u64)slots,
        .slot_count = count,
        .entry = (u64)s->entry,
        .xapic_id = apic_is_x2apic ? 0 : (u64)&apic_mmio[APIC_REG_ID / 4],
        .xapic_base = rdmsr(MSR_APIC_BASE) & ~XAPIC_BASE_OTHERS,
    };
    return p;
}

/* Whether the AP has got as far as its slot. Only then may a second SIPI be spared. */
static bool has_arrived(cpu_t c)
{
    return atomic_load_relaxed(&slots[c].claimed) != SLOT_OPEN;
}

static bool wake_one(const struct smp_start *s, cpu_t c)
{
    return ap_mailbox_wake(s->mailbox, slots[c].apic_id, s->page.v + s->trampoline_mailbox_offset,
                           s->wait_ms);
}

static bool arrives(const struct smp_start *s, cpu_t c)
{
    struct wait w = WAIT("a CPU to come from firmware's mailbox", wait_ms(s->wait_ms));
    while (!has_arrived(c))
        if (!wait_spin(&w))
            return false;
    return true;
}

/* Firmware lets them go one by one, and each takes its own time from there. A CPU whose turn was taken back may have seen it
 * before: then it clears the word when that is the next CPU's already, who has not heard it. So from there on each is called
 * a second time if it does not come. */
static void wake_by_mailbox(const struct smp_start *s, cpu_t first, cpu_t end)
{
    bool in_doubt = false;
    for (cpu_t c = first; c < end; c++) {
        bool taken = wake_one(s, c);
        if (taken && in_doubt && !arrives(s, c))
            taken = wake_one(s, c);
        if (!taken && !has_arrived(c))
            log_error("CPU %u (APIC id %u): firmware does not take its wake-up", c, slots[c].apic_id);
        in_doubt |= !taken;
    }
}

/* The ICR write of each command orders slots and parameters before the start (apic/x2apic.h, apic/xapic.c). */
static void send_to(const struct smp_start *s, cpu_t first, cpu_t end)
{
    for (cpu_t c = first; c < end; c++)
        apic_send_init(slots[c].apic_id);
    delay_us(INIT_US);
    smp_start_waits += 2;
    for (cpu_t c = first; c < end; c++)
        apic_send_startup(slots[c].apic_id, s->page);
    delay_us(STARTUP_US);
    /* A SIPI can be lost while firmware holds the CPU in system-management mode. A CPU that has started and whose
     * claim we have just missed ignores the second one: only a CPU that waits for a SIPI takes it (SDM 9.4.3). */
    for (cpu_t c = first; c < end; c++)
        if (!has_arrived(c))
            apic_send_startup(slots[c].apic_id, s->page);
}

static void wait_for(const struct smp_start *s, cpu_t first, cpu_t end)
{
    struct wait w = WAIT("the other CPUs to come online", wait_ms(s->wait_ms));
    bool in_time = true;
    for (cpu_t c = first; c < end; c++) {
        /* orders: our reads of what the AP set up after its being online; pairs with: smp/bringup.c:smp_cpu_online (the
         * LOCKed OR); else: the caller could see the CPU online and its memory from before. */
        while (in_time && !(atomic_load_acquire(&cpus_online.w[c / 64]) >> c % 64 & 1))
            in_time = wait_spin(&w);
    }
}

/* Closes the slot of a CPU that has not come, and says how far it came. */
static void give_up(cpu_t c, const struct smp_start *s)
{
    switch (atomic_xchg(&slots[c].claimed, SLOT_CLOSED)) {
    case SLOT_ONLINE: /* it came just now, and is about to set its bit */
        cpumask_set_atomic(&cpus_online, c);
        return;
    case SLOT_CLAIMED:
        log_error("CPU %u (APIC id %u) started, but was not ready within %llu ms: going on without it", c,
                  cpu_apic_id(c), (unsigned long long)s->wait_ms * wait_scale);
        return;
    default:
        log_error("CPU %u (APIC id %u) did not start within %llu ms of the %s: going on without it", c,
                  cpu_apic_id(c), (unsigned long long)s->wait_ms * wait_scale,
                  s->mailbox ? "last wake-up" : "second SIPI");
    }
}

u32 smp_start_expected(void)
{
    u32 count = (u32)MIN(cpu_count(), cpus_max);
    return fault_ap < count ? count - 1 : count;
}

void smp_start_elsewhere(const struct smp_start *s)
{
    u32 count = (u32)MIN(cpu_count(), cpus_max);
    fill_slots(s, count);
    (void)fill_page(s, count);
    send_to(s, 1, count);
}

u32 smp_start_all(const struct smp_start *s)
{
    ASSERT(cpu_self() == 0 && cpu_is_online(0), "the boot CPU, itself online, starts the others");
    u32 count = (u32)MIN(cpu_count(), cpus_max);
    if (count < cpu_count())
        log_info("cpus_max=%u: CPUs %u to %u stay off", count, count, cpu_count() - 1);
    fill_slots(s, count);
    struct ap_params *params = fill_page(s, count);
    u64 begin = rdtsc(), commands = apic_icr_writes();
    smp_start_waits = 0;
    smp_start_serial = serial_wanted; /* start= can be set later too, of which the ticks below are not */
    cpu_t step = smp_start_serial ? 1 : count; /* CPUs started together */
    for (cpu_t first = 1; first < count; first += step) {
        if (s->mailbox)
            wake_by_mailbox(s, first, MIN(first + step, count));
        else
            send_to(s, first, MIN(first + step, count));
        wait_for(s, first, MIN(first + step, count));
    }
    smp_start_ticks = rdtsc() - begin;
    smp_start_commands = apic_icr_writes() - commands;
    for (cpu_t c = 1; c < count; c++)
        if (!cpu_is_online(c))
            give_up(c, s);
    /* Some machines note "send accept" for a command to an id that nobody has. Those ids have just been named. */
    (void)apic_error_take();
    u32 unknown = atomic_load_relaxed(&params->unknown);
    if (unknown)
        log_warn("%u CPUs started whose APIC ids nobody had named: they are halted", unknown);
    return cpu_online_count();
}

void smp_cpu_online(void)
{
    cpu_t self = cpu_self();
    u32 state = SLOT_CLAIMED;
    if (self == fault_ap)
        cpu_halt_forever(); /* only one that dies comes here */
    if (self != 0 && !atomic_cmpxchg(&slots[self].claimed, &state, SLOT_ONLINE))
        cpu_halt_forever();
    cpumask_set_atomic(&cpus_online, self);
}
