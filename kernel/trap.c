/* From the entry stubs to whoever handles a vector. Exceptions: kernel/exception.c; NMI: kernel/nmi.c. */
#include "kernel/trap.h"

#include "apic/apic.h"
#include "kernel/gdt.h"
#include "kernel/idt.h"
#include "kernel/nmi.h"
#include "kernel/panic.h"
#include "kernel/pic.h"
#include "kernel/stop.h"
#include "lib/atomic.h"
#include "lib/counter.h"
#include "lib/log.h"
#include "smp/message.h"

COUNTER(irq_spurious, "spurious interrupts of the local APIC");
COUNTER(irq_unexpected, "interrupts on vectors that nobody handles");
PERCPU(u64, trap_raw_count);
PERCPU(u64, trap_message_entered);
PERCPU(u64, trap_message_ticks);

/* CPU 0's IST stacks until kmap_stack can give it guarded ones. A panic formats and prints on them. */
#define EARLY_STACK_SIZE (8 * KIB)
static u8 early_stacks[3][EARLY_STACK_SIZE] __attribute__((aligned(16)));

static const struct vector_handler *handlers[256];
static u8 reported[256]; /* unexpected vectors are named once each */

_Static_assert(MSR_X2APIC(APIC_REG_EOI) == 0x80b && APIC_REG_EOI == 0xb0,
               "trap_entry.asm has these numbers too");

void trap_interrupt(struct trap_frame *f); /* called by trap_entry.asm */

/* Built once, so that an interrupt costs a load and not a search. A wrong entry is a mistake in the build: the kernel
 * does not start with it. */
static void build_handlers(void)
{
    TABLE_FOREACH (vector, struct vector_handler, h) {
        if (h->vector < VECTOR_PIC_LAST + 1 || h->vector == VECTOR_RAW || h->vector == VECTOR_MESSAGE ||
            h->vector == VECTOR_SPURIOUS)
            panic("vector table: %s wants vector 0x%x, which has an entry of its own", h->name, h->vector);
        if (handlers[h->vector])
            panic("vector table: vector 0x%x is taken by %s and by %s", h->vector, handlers[h->vector]->name,
                  h->name);
        if (!h->fn)
            panic("vector table: %s has no function", h->name);
        handlers[h->vector] = h;
    }
}

static u64 early_stack_top(u32 i)
{
    return (u64)early_stacks[i] + EARLY_STACK_SIZE;
}

void trap_init(void)
{
    idt_build();
    trap_init_cpu(&(struct trap_stacks){
        .nmi = early_stack_top(0),
        .double_fault = early_stack_top(1),
        .machine_check = early_stack_top(2),
    });
    build_handlers();
    pic_disable();
    msg_stuck_hook = backtrace_remote;
}

void trap_init_cpu(const struct trap_stacks *s)
{
    gdt_init_cpu(s);
    idt_load();
    syscall_init_cpu();
}

void trap_use_stacks(const struct trap_stacks *s)
{
    gdt_init_cpu(s);
}

static void unexpected(vector_t v)
{
    counter_inc(irq_unexpected);
    if (!atomic_xchg(&reported[v], 1))
        log_warn("interrupt on vector 0x%x, which nobody handles: counted from now on, not named again", v);
    /* By software (INT n) it is not in service, and this EOI ends nothing: handlers run with interrupts off, so no
     * other can be in service either. */
    if (apic_is_usable_here())
        apic_eoi();
}

void trap_interrupt(struct trap_frame *f)
{
    vector_t v = (vector_t)f->vector;
    const struct vector_handler *h = handlers[v];
    if (h)
        h->fn(v);
    else if (v >= VECTOR_PIC_FIRST && v <= VECTOR_PIC_LAST)
        pic_interrupt(v);
    else if (v == VECTOR_SPURIOUS)
        counter_inc(irq_spurious); /* not in service, so no EOI (SDM volume 3A, section 11.9) */
    else
        unexpected(v);
    nmi_report_deferred();
}
