/* Faults on purpose: each kind of failure that the kernel promises to report, made to happen. */
#include "kernel/fault_inject.h"

#include "apic/apic.h"
#include "kernel/command.h"
#include "kernel/fault_alloc.h"
#include "kernel/fault_cpus.h"
#include "kernel/fault_dead.h"
#include "kernel/fault_debug.h"
#include "kernel/fault_ipi.h"
#include "kernel/idle.h"
#include "kernel/panic.h"
#include "kernel/worker.h"
#include "lib/atomic.h"
#include "lib/log.h"
#include "lib/param.h"
#include "lib/string.h"
#include "lib/wait.h"
#include "mm/frame.h"
#include "mm/space.h"
#include "smp/cpus.h"
#include "smp/message.h"

struct fault {
    const char *name, *what;
    void (*fn)(u64 n);
    enum { NOTHING, A_CPU, A_NUMBER } takes; /* behind the colon */
};

/* Those of the command line, in this order. */
static struct {
    const struct fault *fault;
    u64 n;
} chosen[8];
static u32 chosen_count;

/* ---- what can be broken ---- */

static void plain_panic(u64 n)
{
    (void)n;
    panic("fault=panic was asked for");
}

static bool hook_panics;
static void panicking_hook(void)
{
    if (hook_panics)
        panic("fault=panic-in-panic: the panic hook panics");
}
PANIC_HOOK(fault_inject, panicking_hook);

static void panic_in_panic(u64 n)
{
    (void)n;
    hook_panics = true;
    panic("fault=panic-in-panic was asked for");
}

/* Not to be turned into a loop: each call has a frame that is written to, and work left after it. */
static NOINLINE u64 use_up_stack(u64 depth)
{
    volatile u8 frame[256];
    frame[depth % sizeof(frame)] = (u8)depth;
    if (depth == ~0ull)
        return 0;
    return use_up_stack(depth + 1) + frame[depth % sizeof(frame)];
}

static void overflow_stack(u64 n)
{
    u64 sum = use_up_stack(n);
    panic("fault=stack: the stack had no end (%llu)", (unsigned long long)sum);
}

static void invalid_opcode(u64 n)
{
    (void)n;
    __asm__ volatile("ud2");
    panic("fault=ud: the invalid opcode was executed");
}

static u32 deaf_now;

static void deaf(void *arg)
{
    (void)arg;
    irq_disable();
    atomic_store_relaxed(&deaf_now, 1);
    for (;;)
        cpu_pause();
}

static void nothing(struct msg_in *in)
{
    (void)in;
}
MSG_KIND(fault_ping, nothing);

static void unanswered_ipi(u64 n)
{
    cpu_t cpu = (cpu_t)n;
    deaf_now = 0;
    err_t e = worker_start(cpu, deaf, NULL);
    if (e != ERR_OK) {
        log_error("fault=ipi: cpu %u cannot be made deaf: %s", cpu, err_name(e));
        return;
    }
    struct wait w = WAIT("a CPU to turn its interrupts off", wait_ms(100));
    while (!atomic_load_relaxed(&deaf_now)) {
        if (!wait_spin(&w))
            panic("fault=ipi: cpu %u does not run what it was given", cpu);
    }
    struct msg m = {.kind = &fault_ping, .flags = MSG_SYNC};
    struct msg_watchdog usual = msg_watchdog;
    msg_watchdog =
        (struct msg_watchdog){.report_ms = 50, .retry_ms = 100, .give_up_ms = 200}; /* seconds if scaled */
    e = msg_call(cpu, &m);
    msg_watchdog = usual;
    if (e == ERR_TIMEOUT)
        log_info("fault=ipi: the call to cpu %u was given up: %s", cpu, err_name(e));
    else
        panic("fault=ipi: cpu %u has its interrupts off, and yet the call to it ended with: %s", cpu,
              err_name(e));
}

static void stray_nmi(u64 n)
{
    (void)n;
    apic_send_nmi(apic_id());
    idle_for_a_tick(); /* where the report has to wait for an interrupt, the timer's will do (kernel/nmi.c) */
    idle_for_a_tick();
    log_info("fault=nmi: still here after an NMI that nobody asked for");
}

/* Of two CPUs that waited for each other with interrupts off neither could answer: so each such wait has to be refused,
 * whether or not it would have ended this time. */
static void call_with_interrupts_off(u64 n)
{
    (void)n;
    struct msg m = {.kind = &fault_ping, .flags = MSG_SYNC};
    irq_disable();
    err_t e = msg_call(1, &m);
    panic("fault=wait-irq-off: a call with interrupts off was not refused; it ended with: %s", err_name(e));
}

static void unmap_with_interrupts_off(u64 n)
{
    (void)n;
    const vaddr_t where = GIB;
    struct space *s;
    err_t e = space_create(&s);
    if (e == ERR_OK)
        e = space_map_fresh(s, where, 1, PT_READ | PT_USER, FRAME_OWNER_USER);
    if (e != ERR_OK)
        panic("fault=unmap-irq-off: no page to unmap: %s", err_name(e));
    irq_disable();
    e = space_unmap(s, where, where + PAGE_SIZE);
    panic("fault=unmap-irq-off: a shootdown with interrupts off was not refused; it ended with: %s",
          err_name(e));
}

/* ---- choosing ---- */

static const struct fault faults[] = {
    {"panic", "a panic", plain_panic, NOTHING},
    {"panic-in-panic", "a panic whose hook panics", panic_in_panic, NOTHING},
    {"stack", "a kernel stack that runs into its guard page", overflow_stack, NOTHING},
    {"ud", "an invalid opcode in the kernel", invalid_opcode, NOTHING},
    {"ipi", "a CPU that never answers (fault=ipi:N)", unanswered_ipi, A_CPU},
    {"nmi", "an NMI that nobody asked for", stray_nmi, NOTHING},
    {"hold", "CPU 1 with its interrupts off for N ms (fault=hold:N)", fault_hold, A_NUMBER},
    {"stall", "CPU 1 in a message's function for N ms (fault=stall:N)", fault_stall, A_NUMBER},
    {"nmi-storm", "N NMIs to every CPU among shootdowns (fault=nmi-storm:N)", fault_nmi_storm, A_NUMBER},
    {"drop-ipi", "the Nth doorbell is lost (fault=drop-ipi:N)", fault_drop_ipi, A_NUMBER},
    {"double-ipi", "the Nth doorbell comes twice (fault=double-ipi:N)", fault_double_ipi, A_NUMBER},
    {"delay-ipi", "the Nth doorbell comes late (fault=delay-ipi:N)", fault_delay_ipi, A_NUMBER},
    {"drop-word", "a doorbell for the flush-everything word is lost", fault_drop_word, NOTHING},
    {"dies", "CPU 1 halts for good, and a shootdown needs it", fault_dies, NOTHING},
    {"dies-in-nmi", "the same in an NMI", fault_dies_in_nmi, NOTHING},
    {"alloc", "the Nth allocation is refused (fault=alloc:N)", fault_alloc, A_NUMBER},
    {"wait-irq-off", "a call that is waited for with interrupts off", call_with_interrupts_off, NOTHING},
    {"unmap-irq-off", "a shootdown with interrupts off", unmap_with_interrupts_off, NOTHING},
#ifdef VOLLEY_DEBUG
    {"ubsan", "a signed overflow", fault_ubsan, NOTHING},
    {"canary", "an array that is overrun", fault_canary, NOTHING},
    {"lock-order", "two locks in both orders", fault_lock_order, NOTHING},
    {"poison", "a write to a freed frame", fault_poison, NOTHING},
#endif
};

#ifdef VOLLEY_DEBUG
#define ALLOWED_DEBUG ", ubsan, canary, lock-order, poison"
#else
#define ALLOWED_DEBUG "; with make DEBUG=1 also ubsan, canary, lock-order, poison"
#endif
#define ALLOWED                                                                                              \
    "panic, panic-in-panic, stack, ud, ipi:CPU (1 to 511), nmi, hold:MS, stall:MS, nmi-storm:N, "            \
    "drop-ipi:N, double-ipi:N, delay-ipi:N, drop-word, dies, dies-in-nmi, alloc:N (1 to 10000), "            \
    "wait-irq-off, unmap-irq-off" ALLOWED_DEBUG

static const char *set_fault(const char *value)
{
    const char *colon = strchr(value, ':');
    size_t n = colon ? (size_t)(colon - value) : strlen(value);
    for (u32 i = 0; i < ARRAY_SIZE(faults); i++) {
        const struct fault *f = &faults[i];
        if (strlen(f->name) != n || strncmp(f->name, value, n) != 0)
            continue;
        u64 number = 0;
        if ((f->takes != NOTHING) != (colon != NULL) || (colon && !parse_u64(colon + 1, &number)))
            return ALLOWED;
        if (f->takes != NOTHING && (number == 0 || number > (f->takes == A_CPU ? MAX_CPUS - 1 : 10000)))
            return ALLOWED;
        if (chosen_count == ARRAY_SIZE(chosen))
            return "at most 8 faults";
        chosen[chosen_count].fault = f;
        chosen[chosen_count++].n = number;
        return NULL;
    }
    return ALLOWED;
}
PARAM(fault, "fault",
      "fault=NAME[:N]  break something after boot, one after another if given more than once: " ALLOWED,
      set_fault);

static void cmd_fault(int argc, char **argv)
{
    const char *allowed = argc == 2 ? set_fault(argv[1]) : ALLOWED;
    if (allowed)
        print("allowed: %s\n", allowed);
    else
        fault_inject_run();
}
COMMAND(fault, "fault NAME[:N]", "break something: " ALLOWED, cmd_fault);

void fault_inject_run(void)
{
    for (u32 i = 0; i < chosen_count; i++) {
        log_warn("fault=%s: %s, on purpose", chosen[i].fault->name, chosen[i].fault->what);
        chosen[i].fault->fn(chosen[i].n);
    }
    chosen_count = 0;
}
