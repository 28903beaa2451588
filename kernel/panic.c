/* Panic: one CPU reports, all others stand still.
 *
 * Who comes first owns the panic. A panic on another CPU meanwhile stops that CPU, and its backtrace, which shows
 * where it was, is among those that the owner prints. A second panic on the owner (a broken stack, a hook that fails)
 * prints one line and ends the machine; a third one, which can only come from that line, ends it without a word. */
#include "kernel/panic.h"

#include "kernel/console.h"
#include "kernel/lock_order.h"
#include "kernel/power.h"
#include "kernel/registers.h"
#include "kernel/stop.h"
#include "lib/atomic.h"
#include "lib/log.h"
#include "lib/param.h"
#include "lib/x86/cpu.h"
#include "lib/x86/desc.h"
#include "smp/cpus.h"

static cpu_t owner = CPU_NONE;
static u32 depth; /* panics on the owner; its alone */
static bool halt_at_end;

static const char *set_panic(const char *value)
{
    bool halt = __builtin_strcmp(value, "halt") == 0;
    if (!halt && __builtin_strcmp(value, "off") != 0)
        return "halt or off";
    halt_at_end = halt;
    return NULL;
}
PARAM(panic, "panic",
      "panic=off|halt  after a panic: power off, or reset a real machine (default); or leave it as it is",
      set_panic);

static NORETURN void finish(void)
{
    console_end(false);
    console_flush();
    if (halt_at_end)
        cpu_halt_forever();
    power_off(false);
}

/* Returns to the owner's first panic only. rip and rbp: where the caller stands. */
static void enter(const char *what, u64 rip, u64 rbp)
{
    irq_disable();
    cpu_t self = cpu_self(), found = CPU_NONE;
    if (!atomic_cmpxchg(&owner, &found, self) && found != self)
        stop_here(rip, rbp);
    switch (depth++) {
    case 0:
        lock_order_stop();
        return;
    case 1:
        log_panic_mode();
        print("\nPANIC inside a panic on cpu %u: %s; at %llx. This is the end.\n", self, what,
              (unsigned long long)rip);
        finish();
    case 2:
        power_off(false);
    default: /* not even that */
        cpu_halt_forever();
    }
}

static void print_others(const cpumask_t *stopped)
{
    u32 silent = 0;
    for (cpu_t c = 0; c < cpu_count(); c++) {
        if (c == owner || !cpu_is_online(c))
            continue;
        if (!cpumask_test(stopped, c)) {
            print("  cpu %u did not stop: it does not answer an NMI\n", c);
            silent++;
            continue;
        }
        print("  cpu %u was stopped:\n", c);
        snapshot_print(stop_snapshot(c));
    }
    if (cpu_online_count() > 1)
        print("  %u other CPUs stopped, %u did not\n", cpumask_count(stopped), silent);
}

static NORETURN void report(const char *what, const struct trap_frame *f, u64 rip, u64 rbp)
{
    static cpumask_t stopped; /* not on the stack, which may be nearly used up */
    static struct backtrace trace;
    stop_others(&stopped);
    log_panic_mode();
    print("\nPANIC on cpu %u: %s\n", owner, what);
    if (f)
        registers_print(f);
    print("  backtrace of cpu %u:\n", owner);
    backtrace_capture(rip, f ? f->rsp : 0, rbp, &trace);
    backtrace_write(&trace);
    print_others(&stopped);
    TABLE_FOREACH (panic_hook, struct panic_hook, h)
        h->fn();
    finish();
}

NORETURN void panic_trap(struct trap_frame *f, const char *what)
{
    char text[256];
    format(text, sizeof(text), "%s: %s (error code 0x%llx)", trap_name(f->vector), what,
           (unsigned long long)f->error);
    enter(text, f->rip, f->rbp);
    report(text, f, f->rip, f->rbp);
}

NORETURN void panic(const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    vformat(text, sizeof(text), fmt, ap);
    va_end(ap);
    /* The last byte of the CALL: what is behind it can belong to another function, since this one does not return. */
    u64 rip = (u64)__builtin_return_address(0) - 1, rbp = *(u64 *)__builtin_frame_address(0);
    enter(text, rip, rbp);
    report(text, NULL, rip, rbp);
}

NORETURN void assert_failed(const char *expr, const char *file, int line, const char *meaning)
{
    panic("%s:%d: assertion failed: %s: %s", file, line, expr, meaning);
}
