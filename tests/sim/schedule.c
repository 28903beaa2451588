/* The scheduler: one simulated CPU runs at a time, on a stack of its own; before each step it is decided who goes on.
 *
 * By default a CPU runs until it pauses or is done, and takes an interrupt as soon as it may. Everything else is a deviation
 * (tests/sim/explore.h): another CPU goes on in the middle, with the stores still in the buffer or drained before; an interrupt is
 * taken later; an NMI comes. */
#include "tests/sim/explore.h"
#include "tests/sim/scenario.h"
#include "tests/sim/std.h"

#include "apic/registers.h"
#include "apic/vectors.h"
#include "lib/x86/cpu.h"
#include "smp/message.h"

struct sim sim;
struct sim_cpu sim_cpus[HOST_CPUS];

#define FRUITLESS_MAX                                                                                        \
    3000u /* turns of all CPUs in which nothing changes: more than any loop counts before it looks elsewhere */

__asm__(".text\n"
        ".globl sim_switch_stacks\n"
        "sim_switch_stacks:\n\t"
        "pushq %rbp\n\tpushq %rbx\n\tpushq %r12\n\tpushq %r13\n\tpushq %r14\n\tpushq %r15\n\t"
        "movq %rsp, (%rdi)\n\t"
        "movq %rsi, %rsp\n\t"
        "popq %r15\n\tpopq %r14\n\tpopq %r13\n\tpopq %r12\n\tpopq %rbx\n\tpopq %rbp\n\t"
        "ret\n");

cpu_t host_cpu(void)
{
    return sim.now;
}

static struct sim_cpu *self(void)
{
    return &sim_cpus[sim.now];
}

void sim_changed(void)
{
    sim.epoch++;
    sim.fruitless = 0;
}

/* ---- interrupts ---- */

static bool may_interrupt(const struct sim_cpu *c)
{
    return c->irr && c->irq_on && !c->in_service && !c->in_nmi;
}

static void iret(struct sim_cpu *c)
{
    sim_drain(c, SIM_BUFFER); /* serialising */
}

static void take_interrupt(struct sim_cpu *c)
{
    enum sim_state interrupted = c->state;
    c->state = SIM_READY;
    c->irr = c->postponed = false;
    c->in_service = true;
    c->irq_on = false;
    c->irq_depth++;
    sim_trace(sim.now, "message interrupt");
    msg_drain();
    if (c->in_service)
        sim_fail("CPU %u leaves its interrupt handler without EOI", sim.now);
    c->irq_depth--;
    if (c->in_ring3) {
        c->in_ring3 = false;
        sim_before_ring3();
        c->in_ring3 = true;
    }
    iret(c);
    c->irq_on = true;
    c->state = interrupted;
    sim_trace(sim.now, "iret");
}

static void take_nmi(struct sim_cpu *c, bool from_outside)
{
    bool was_on = c->irq_on;
    enum sim_state interrupted = c->state;
    c->state = SIM_READY;
    c->in_nmi = true;
    c->irq_on = false;
    if (from_outside)
        sim.nmis_left--;
    else
        c->nmi_latched = false;
    sim_trace(sim.now, "NMI");
    msg_drain_nmi();
    if (explorer->scenario->nmi)
        explorer->scenario->nmi();
    iret(c);
    c->irq_on = was_on;
    c->in_nmi = false;
    c->state = interrupted;
    sim_trace(sim.now, "iret from NMI");
}

bool context_is_irq(void)
{
    return self()->irq_depth != 0;
}
bool context_is_nmi(void)
{
    return self()->in_nmi;
}

/* ---- who goes on ---- */

static bool runnable(const struct sim_cpu *c)
{
    if (c->state == SIM_READY || (c->nmi_latched && !c->in_nmi) || may_interrupt(c))
        return true;
    return c->state == SIM_PAUSED && c->seen != sim.epoch;
}

static void switch_to(cpu_t next)
{
    struct sim_cpu *from = self();
    if (next == sim.now)
        return;
    sim.now = next;
    sim_switch_stacks(&from->sp, sim_cpus[next].sp);
}

static cpu_t next_runnable(cpu_t after)
{
    for (u32 i = 1; i <= sim.cpus; i++) {
        cpu_t c = (after + i) % sim.cpus;
        if (runnable(&sim_cpus[c]))
            return c;
    }
    return CPU_NONE;
}

/* This CPU cannot go on by itself: to the next one that can. */
static void yield(void)
{
    cpu_t next = next_runnable(sim.now);
    for (cpu_t c = 0; c < sim.cpus && next == CPU_NONE; c++) {
        sim_drain(&sim_cpus[c], SIM_BUFFER);
        next = next_runnable(sim.now);
    }
    if (next == CPU_NONE) {
        bool all_idle = true;
        for (cpu_t c = 0; c < sim.cpus; c++)
            all_idle &= sim_cpus[c].state == SIM_IDLE;
        if (all_idle)
            explore_run_ended();
        if (++sim.fruitless > FRUITLESS_MAX)
            sim_fail("everybody waits for ever");
        for (cpu_t c = 0; c < sim.cpus; c++)
            sim_cpus[c].seen = ~0ull;
        next = next_runnable(sim.now);
    } else {
        /* With more than one to choose from, the choice is a decision. */
        u32 others = 0;
        for (cpu_t c = 0; c < sim.cpus; c++)
            others += c != next && c != sim.now && runnable(&sim_cpus[c]);
        u32 choice = others ? explore_choose(++sim.step, others) : 0;
        while (choice--)
            do
                next = next_runnable(next);
            while (next == sim.now);
    }
    switch_to(next);
}

static void take_what_is_due(struct sim_cpu *c)
{
    for (;;) {
        if (c->nmi_latched && !c->in_nmi)
            take_nmi(c, false);
        else if (may_interrupt(c) && !c->postponed)
            take_interrupt(c);
        else
            return;
    }
}

/* ---- steps ---- */

enum alternative { GO_ON, POSTPONE, INTERRUPT, NMI, SWITCH, DRAIN_AND_SWITCH };
struct options {
    u32 count;
    struct {
        enum alternative what;
        cpu_t to;
    } option[4 + 2 * HOST_CPUS];
};

static void offer(struct options *o, enum alternative what, cpu_t to)
{
    o->option[o->count].what = what;
    o->option[o->count++].to = to;
}

static void list_options(struct options *o, struct sim_cpu *c, bool shared)
{
    o->count = 0;
    offer(o, GO_ON, sim.now);
    if (may_interrupt(c))
        offer(o, c->postponed ? INTERRUPT : POSTPONE, sim.now);
    if (sim.nmis_left && sim.nmi_target == sim.now && !c->in_nmi)
        offer(o, NMI, sim.now);
    for (cpu_t to = 0; shared && to < sim.cpus; to++)
        if (to != sim.now && runnable(&sim_cpus[to])) {
            offer(o, SWITCH, to);
            if (c->buffered)
                offer(o, DRAIN_AND_SWITCH, to);
        }
}

static void decide(bool shared)
{
    struct sim_cpu *c = self();
    for (;;) {
        struct options o;
        if (++sim.step > SIM_STEPS_MAX)
            sim_fail("the run does not come to its end within %u steps", SIM_STEPS_MAX);
        list_options(&o, c, shared);
        u32 choice = o.count > 1 ? explore_choose(sim.step, o.count - 1) : 0;
        switch (o.option[choice].what) {
        case GO_ON:
            if (!(may_interrupt(c) && !c->postponed) && !(c->nmi_latched && !c->in_nmi))
                return;
            take_what_is_due(c);
            break;
        case POSTPONE:
            c->postponed = true;
            break;
        case INTERRUPT:
            take_interrupt(c);
            break;
        case NMI:
            take_nmi(c, true);
            break;
        case DRAIN_AND_SWITCH:
            sim_drain(c, SIM_BUFFER);
            __attribute__((fallthrough));
        case SWITCH:
            switch_to(o.option[choice].to);
            break;
        }
    }
}

void sim_step(enum sim_step_kind kind, const volatile void *addr, bool write, const char *what,
              const char *where)
{
    if (!sim.running)
        return;
    decide(kind == STEP_VISIBLE || (kind == STEP_SHARED && explore_is_shared(sim.now, addr, write)));
    if (sim_tracing)
        sim_trace(sim.now, "%s%s%s%s%s", where ? where : "", where ? ": " : "", what, addr ? " " : "",
                  addr ? sim_symbol(addr) : "");
}

void cpu_pause(void)
{
    struct sim_cpu *c = self();
    if (!sim.running)
        sim_fail("a wait while the scenario is set up: nobody could answer");
    sim_drain(c, SIM_BUFFER);
    c->postponed = false;
    take_what_is_due(c);
    c->state = SIM_PAUSED;
    c->seen = sim.epoch;
    yield();
    c->state = SIM_READY;
    take_what_is_due(c);
}

/* MWAIT ends with the next store of somebody else after MONITOR, whatever it is to (it may end for other reasons than its word), and
 * with an interrupt, though masked. Unlike PAUSE it does not end because nobody can go on. */
void cpu_monitor(const void *line)
{
    sim_step(STEP_SHARED, line, false, "MONITOR", NULL);
    self()->monitored = sim.epoch;
}

void cpu_mwait(u32 extensions)
{
    (void)extensions;
    sim_step(STEP_LOCAL, NULL, false, "MWAIT", NULL);
    while (self()->monitored == sim.epoch && !self()->irr)
        cpu_pause();
}

void irq_enable_and_mwait(void)
{
    sim_fail("processors whose MWAIT ends with no masked interrupt are not simulated");
}

u64 rdtsc(void)
{
    return 1000 + sim.step;
}
u64 rdtsc_ordered(void)
{
    return rdtsc();
}

/* What every coroutine runs. */
NORETURN void sim_cpu_main(void)
{
    struct sim_cpu *c = self();
    void (*body)(void) = explorer->scenario->body[sim.now];
    if (body)
        body();
    sim_thread_ends();
    sim_drain(c, SIM_BUFFER);
    c->postponed = false;
    c->state = SIM_IDLE;
    for (;;) {
        take_what_is_due(c);
        yield();
    }
}

/* ---- instructions ---- */

bool irq_enabled(void)
{
    return self()->irq_on;
}
void irq_disable(void)
{
    self()->irq_on = false;
}
void irq_enable(void)
{
    self()->irq_on = true;
    if (sim.running)
        sim_step(STEP_LOCAL, NULL, false, "STI", NULL);
}
bool irq_save(void)
{
    bool was_on = irq_enabled();
    irq_disable();
    return was_on;
}
void irq_restore(bool was_on)
{
    if (was_on)
        irq_enable();
}

u64 rdmsr(u32 msr)
{
    sim_fail("RDMSR %x: the machine has no such register", msr);
}

static bool is_addressed(u64 command, cpu_t c)
{
    u32 dest = (u32)(command >> 32);
    apic_id_t id = cpu_apic_id(c);
    if ((command & ICR_ALL_BUT_SELF) == ICR_ALL_BUT_SELF)
        return c != sim.now;
    if (command & ICR_LOGICAL)
        return id >> 4 == dest >> 16 && (dest >> (id & 15) & 1);
    return id == dest;
}

/* The ICR does not wait for the store buffer (SDM volume 3A, section 11.12.3). */
void wrmsr(u32 msr, u64 v)
{
    if (msr == MSR_X2APIC(APIC_REG_EOI)) {
        self()->in_service = false;
        return;
    }
    if (msr != MSR_X2APIC(APIC_REG_ICR))
        sim_fail("WRMSR %x: the machine has no such register", msr);
    sim_step(STEP_VISIBLE, NULL, true, "ICR write", NULL);
    for (cpu_t c = 0; c < sim.cpus; c++) {
        if (!is_addressed(v, c))
            continue;
        if ((v & 0x700) == ICR_NMI)
            sim_cpus[c].nmi_latched = true;
        else
            sim_cpus[c].irr = true;
    }
    sim_changed();
}
