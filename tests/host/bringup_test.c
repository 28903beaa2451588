/* Starting the other CPUs: order of INIT and SIPI, second SIPI, what the trampoline is given, CPUs that never come,
 * come half-way or come too late, and the command-line faults. The CPUs are played by this program; their assembly
 * is not tested.
 *
 *     sources: smp/bringup.c smp/ap_mailbox.c smp/cpus.c lib/param.c lib/wait.c
 *     sanitize: address,undefined
 */
#include <signal.h>
#include <stdarg.h>

#include "apic/apic.h"
#include "lib/ap_params.h"
#include "lib/log.h"
#include "lib/param.h"
#include "lib/wait.h"
#include "smp/ap_mailbox.h"
#include "smp/cpus.h"
#include "tests/host/host.h"

#define CPUS 6u
static const apic_id_t ids[CPUS] = {3, 0, 200, 7, 4, 9};

enum behaviour {
    COMES,           /* claims its slot and comes online at the first SIPI */
    COMES_AT_SECOND, /* misses the first SIPI */
    NEVER,           /* is not there */
    STARTS_ONLY,     /* claims its slot, and is stuck before smp_cpu_online */
};
static enum behaviour behaviour[CPUS];

static u8 page[PAGE_SIZE] __attribute__((aligned(4096)));
static u8 trampoline[256] __attribute__((aligned(8))) = {0xea};
#define PARAMS_OFFSET (sizeof(trampoline) - sizeof(struct ap_params))
static struct ap_params *params(void)
{
    return (struct ap_params *)(page + PARAMS_OFFSET);
}

struct command {
    bool startup;
    apic_id_t id;
    u64 page, at;
};
static struct command commands[64];
static u32 command_count;

/* ---- the machine ---- */
bool apic_is_x2apic = true;
volatile u32 *apic_mmio;
static u64 efer = 0xd01, cr0 = 0x80010033,
           cr4 = 0x3f0fe8; /* with PCIDE, SMEP, SMAP and others that not every CPU has */
u64 rdmsr(u32 msr)
{
    return msr == 0xc0000080 ? efer : 0;
}
u64 cr0_read(void)
{
    return cr0;
}
u64 cr4_read(void)
{
    return cr4;
}
u64 apic_icr_writes(void)
{
    return command_count;
}
u32 apic_error_take(void)
{
    return 0;
}

static char last_error[200];
static u32 errors;
void log_line(enum log_level l, const char *fmt, ...)
{
    if (l != LOG_ERROR)
        return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(last_error, sizeof(last_error), fmt, ap);
    va_end(ap);
    errors++;
}

static void note(bool startup, apic_id_t id, u64 start_page)
{
    commands[command_count++ % ARRAY_SIZE(commands)] =
        (struct command){.startup = startup, .id = id, .page = start_page, .at = rdtsc()};
}

void apic_send_init(apic_id_t dest)
{
    note(false, dest, 0);
}

/* What boot/trampoline.asm does. Returns the claimed slot, or NULL: parked. */
static struct ap_slot *claim(apic_id_t id)
{
    struct ap_slot *slot = (struct ap_slot *)params()->slots;
    for (u64 i = 0; i < params()->slot_count; i++) {
        u32 open = 0;
        if (slot[i].apic_id == id)
            return atomic_cmpxchg(&slot[i].claimed, &open, 1) ? &slot[i] : NULL;
    }
    params()->unknown++;
    return NULL;
}

static u32 sipis_to(apic_id_t id)
{
    u32 n = 0;
    for (u32 i = 0; i < command_count; i++)
        n += commands[i].startup && commands[i].id == id;
    return n;
}

static void come_online(cpu_t cpu)
{
    host_cpu_index = cpu;
    smp_cpu_online();
    host_cpu_index = 0;
}

void apic_send_startup(apic_id_t dest, paddr_t start_page)
{
    note(true, dest, start_page.v);
    cpu_t cpu = cpu_by_apic_id(dest);
    if (cpu == CPU_NONE || behaviour[cpu] == NEVER ||
        (behaviour[cpu] == COMES_AT_SECOND && sipis_to(dest) < 2))
        return;
    struct ap_slot *slot = claim(dest);
    if (!slot)
        return;
    HOST_CHECK(slot->cpu == cpu && slot->stack == 0x1000 * cpu, "CPU %u got index %lu and stack %lx", cpu,
               slot->cpu, slot->stack);
    if (behaviour[cpu] != STARTS_ONLY)
        come_online(cpu);
}

static void never_called(u64 cpu)
{
    (void)cpu;
}

static struct ap_mailbox *with_mailbox;

static u32 start(void)
{
    static struct smp_start s;
    if (!cpu_count())
        for (u32 i = 0; i < CPUS; i++)
            HOST_CHECK(cpu_add(ids[i]) == ERR_OK, "CPU %u", i);
    tsc_hz = 1000000000; /* near enough to measure the order of the waits */
    s = (struct smp_start){.trampoline = trampoline,
                           .trampoline_size = sizeof(trampoline),
                           .trampoline_params_offset = PARAMS_OFFSET,
                           .page = PADDR(0x7000),
                           .page_virt = page,
                           .temp_cr3 = 0x5000,
                           .final_cr3 = 0x123456789000,
                           .entry = never_called,
                           .trampoline_mailbox_offset = 0x30,
                           .mailbox = with_mailbox,
                           .wait_ms = 20};
    for (cpu_t c = 0; c < CPUS; c++)
        s.stack_top[c] = 0x1000 * c;
    command_count = errors = 0;
    cpumask_clear(&cpus_online);
    host_cpu_index = 0;
    smp_cpu_online();
    return smp_start_all(&s);
}

static void all_behave(enum behaviour b)
{
    for (u32 i = 0; i < CPUS; i++)
        behaviour[i] = b;
}

static const char *set(const char *key, const char *value)
{
    TABLE_FOREACH (param, struct param, p)
        if (strcmp(p->key, key) == 0)
            return p->set(value);
    return "no such parameter";
}

/* Runs smp_cpu_online as `cpu` and says whether it halted: CLI is a fault in a user program. */
static sigjmp_buf halt_jump;
static void on_fault(int sig)
{
    (void)sig;
    siglongjmp(halt_jump, 1);
}
static bool online_halts(cpu_t cpu)
{
    struct sigaction act = {.sa_handler = on_fault}, old;
    sigaction(SIGSEGV, &act, &old);
    volatile bool halted = true;
    if (sigsetjmp(halt_jump, 1) == 0) {
        come_online(cpu);
        halted = false;
    }
    host_cpu_index = 0;
    sigaction(SIGSEGV, &old, NULL);
    return halted;
}

/* ---- tests ---- */
HOST_TEST(all_come)
{
    all_behave(COMES);
    HOST_CHECK(start() == CPUS, "%u online", cpu_online_count());
    HOST_CHECK(errors == 0, "%s", last_error);
    HOST_CHECK(command_count == 2 * (CPUS - 1), "%u commands: a second SIPI to a CPU that runs?",
               command_count);
    for (u32 i = 0; i < command_count; i++) {
        HOST_CHECK(commands[i].startup == (i >= CPUS - 1), "command %u: all INITs come before the first SIPI",
                   i);
        HOST_CHECK(commands[i].id != ids[0], "the boot CPU was sent a command");
        HOST_CHECK(!commands[i].startup || commands[i].page == 0x7000, "starts at %lx", commands[i].page);
    }
    HOST_CHECK(smp_start_commands == command_count && smp_start_waits == 2, "%lu commands, %u waits counted",
               smp_start_commands, smp_start_waits);
    u64 pause = commands[CPUS - 1].at - commands[CPUS - 2].at;
    HOST_CHECK(pause >= tsc_from_us(10000), "%lu ticks from the last INIT to the first SIPI", pause);
}

HOST_TEST(what_is_said_of_a_start_is_how_it_was)
{
    all_behave(COMES);
    start();
    HOST_CHECK(!smp_start_serial && set("start", "serial") == NULL, "parallel unless asked");
    HOST_CHECK(!smp_start_serial, "the start that was is made serial afterwards");
    start();
    HOST_CHECK(smp_start_serial && smp_start_waits == 2 * (CPUS - 1), "%u waits", smp_start_waits);
    HOST_CHECK(set("start", "parallel") == NULL && smp_start_serial, "the serial start is made parallel");
}

HOST_TEST(the_trampoline_gets_what_it_needs)
{
    all_behave(COMES);
    start();
    struct ap_params *p = params();
    HOST_CHECK(p->page == 0x7000 && p->temp_cr3 == 0x5000 && p->final_cr3 == 0x123456789000, "addresses");
    HOST_CHECK(p->efer == (efer & ~0x400ull), "EFER %lx: LMA is read-only", p->efer);
    HOST_CHECK(p->cr0 == cr0 && p->cr4 == 0x6e8,
               "CR0 %lx CR4 %lx: what each 64-bit processor takes in 32-bit mode", p->cr0, p->cr4);
    HOST_CHECK(p->entry == (u64)never_called && p->slot_count == CPUS, "entry or slots");
    HOST_CHECK(page[0] == 0xea && page[3] == 0x00 && page[4] == 0x07, "segment %02x%02x", page[4], page[3]);
    for (u32 i = sizeof(trampoline); i < PAGE_SIZE; i++)
        if (page[i] != 0xcc)
            HOST_CHECK(false, "byte %u behind the trampoline is %02x, not INT3", i, page[i]);
}

HOST_TEST(a_lost_sipi_is_sent_again_to_that_cpu_alone)
{
    all_behave(COMES);
    behaviour[3] = COMES_AT_SECOND;
    HOST_CHECK(start() == CPUS, "%u online", cpu_online_count());
    for (u32 i = 1; i < CPUS; i++)
        HOST_CHECK(sipis_to(ids[i]) == (i == 3 ? 2 : 1), "CPU %u got %u SIPIs", i, sipis_to(ids[i]));
}

HOST_TEST(a_cpu_that_never_comes_is_named_and_left_out)
{
    all_behave(COMES);
    behaviour[2] = NEVER;
    HOST_CHECK(start() == CPUS - 1, "%u online", cpu_online_count());
    HOST_CHECK(!cpu_is_online(2) && cpu_is_online(5), "the wrong one is missing");
    HOST_CHECK(errors == 1 && strstr(last_error, "CPU 2 (APIC id 200) did not start"), "%u: %s", errors,
               last_error);
    HOST_CHECK(!claim(ids[2]), "it came later, and found its slot open");
    HOST_CHECK(!claim(77) && params()->unknown == 1, "an unknown id found a slot");
    HOST_CHECK(!claim(ids[0]), "the boot CPU, started again, found a slot");
}

HOST_TEST(one_that_gets_stuck_halts_when_it_comes_late)
{
    all_behave(COMES);
    behaviour[1] = STARTS_ONLY;
    HOST_CHECK(start() == CPUS - 1, "%u online", cpu_online_count());
    HOST_CHECK(errors == 1 && strstr(last_error, "CPU 1 (APIC id 0) started, but was not ready"), "%s",
               last_error);
    HOST_CHECK(online_halts(1), "CPU 1 came online after it was given up");
    HOST_CHECK(!cpu_is_online(1), "it halted, but counts as online");
}

HOST_TEST(absent_cpus_are_waited_for_together)
{
    all_behave(NEVER);
    tsc_hz = 1000000000;
    u64 before = rdtsc();
    HOST_CHECK(start() == 1, "%u online", cpu_online_count());
    u64 took = rdtsc() - before;
    HOST_CHECK(errors == CPUS - 1, "%u CPUs named", errors);
    HOST_CHECK(took >= wait_ms(30), "gave up after %lu ticks", took);
    /* 10 ms and 20 ms, not 20 ms for each of the five; with room for a host that is busy with other things. */
    HOST_CHECK(took < wait_ms(30) + wait_ms(4 * 20), "waited %lu ticks: once for each CPU?", took);
}

HOST_TEST(fault_ap_sends_to_an_id_that_nobody_has)
{
    all_behave(COMES);
    HOST_CHECK(set("fault_ap", "4") == NULL, "refused");
    HOST_CHECK(start() == CPUS - 1 && !cpu_is_online(4), "%u online", cpu_online_count());
    HOST_CHECK(strstr(last_error, "CPU 4 (APIC id 4)"), "%s", last_error);
    HOST_CHECK(sipis_to(ids[4]) == 0, "CPU 4 was started");
    for (u32 i = 0; i < command_count; i++)
        HOST_CHECK(commands[i].id != APIC_ID_NONE, "the fault is a broadcast");
    HOST_CHECK(!claim(ids[4]), "CPU 4 comes by itself and finds a slot");
    HOST_CHECK(smp_start_expected() == CPUS - 1, "%u expected", smp_start_expected());
    HOST_CHECK(set("fault_ap", "0") && set("fault_ap", "512") && set("fault_ap", "x"),
               "a bad value was taken");
    HOST_CHECK(set("fault_ap", "511") == NULL, "refused");
}

HOST_TEST(cpus_max_leaves_the_rest_alone)
{
    all_behave(COMES);
    HOST_CHECK(set("cpus_max", "2") == NULL, "refused");
    HOST_CHECK(start() == 2 && cpu_is_online(1), "%u online", cpu_online_count());
    HOST_CHECK(command_count == 2, "%u commands for one CPU", command_count);
    HOST_CHECK(errors == 0, "%s", last_error);
    HOST_CHECK(smp_start_expected() == 2, "%u expected", smp_start_expected());
    HOST_CHECK(set("cpus_max", "0") && set("cpus_max", "513") && set("cpus_max", ""),
               "a bad value was taken");
    HOST_CHECK(set("cpus_max", "512") == NULL, "refused");
    HOST_CHECK(start() == CPUS, "%u online", cpu_online_count());
}

static struct ap_mailbox box;
static u32 woken, rounds_deaf;
static cpu_t tardy = CPU_NONE; /* it sees its turn, and answers when that has been taken back */
static cpu_t wiped;            /* whose turn it was by then */

/* Firmware's side, whenever the boot CPU looks at the word. */
void host_sim_point(const volatile void *p)
{
    if (p != &box.command || box.command != AP_MAILBOX_WAKE)
        return;
    cpu_t cpu = cpu_by_apic_id(box.apic_id);
    if (tardy != CPU_NONE && cpu != tardy && cpu == tardy + 1) {
        box.command = AP_MAILBOX_NONE;
        wiped = cpu;
        if (claim(ids[tardy]))
            come_online(tardy);
        tardy = CPU_NONE;
        return;
    }
    if (cpu == tardy)
        return;
    if (cpu == CPU_NONE || behaviour[cpu] == NEVER) {
        rounds_deaf++;
        return;
    }
    HOST_CHECK(box.vector == 0x7000 + 0x30, "CPU %u is sent to %lx", cpu, box.vector);
    box.command = AP_MAILBOX_NONE;
    woken++;
    struct ap_slot *slot = claim(box.apic_id);
    if (slot && behaviour[cpu] != STARTS_ONLY)
        come_online(cpu);
}

HOST_TEST(with_a_mailbox_nobody_is_sent_a_sipi)
{
    all_behave(COMES);
    behaviour[3] = NEVER;
    with_mailbox = &box;
    woken = 0;
    HOST_CHECK(start() == CPUS - 1 && !cpu_is_online(3), "%u online", cpu_online_count());
    with_mailbox = NULL;
    HOST_CHECK(command_count == 0 && woken == CPUS - 2, "%u commands, %u woken", command_count, woken);
    HOST_CHECK(errors == 2 && strstr(last_error, "of the last wake-up") && rounds_deaf, "%u: %s", errors,
               last_error);
}

HOST_TEST(a_turn_that_a_late_one_wipes_is_given_again)
{
    all_behave(COMES);
    with_mailbox = &box;
    woken = 0;
    tardy = 2;
    wiped = CPU_NONE;
    HOST_CHECK(start() == CPUS, "%u online", cpu_online_count());
    with_mailbox = NULL;
    HOST_CHECK(wiped == 3 && woken == CPUS - 2 && box.command == AP_MAILBOX_NONE,
               "CPU %u was wiped, %u were woken", wiped, woken);
    HOST_CHECK(command_count == 0 && errors == 1 && strstr(last_error, "CPU 2"), "%u: %s", errors,
               last_error);
}

HOST_TEST(bad_trampolines_are_refused)
{
    static struct smp_start s;
    s = (struct smp_start){.trampoline = trampoline,
                           .trampoline_size = sizeof(trampoline),
                           .page_virt = page,
                           .trampoline_params_offset = PARAMS_OFFSET + 8,
                           .page = PADDR(0x7000)};
    HOST_CHECK_PANICS(smp_start_all(&s));
    s.trampoline_params_offset = PARAMS_OFFSET;
    s.temp_cr3 = 4 * GIB;
    HOST_CHECK_PANICS(smp_start_all(&s));
    s.temp_cr3 = 0;
    trampoline[0] = 0x90;
    HOST_CHECK_PANICS(smp_start_all(&s));
    trampoline[0] = 0xea;
}
