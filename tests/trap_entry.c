/* The entry paths and what each CPU needs for them: vectors, EOI, depth, flags, descriptor tables, stacks, control
 * registers. */
#include "apic/apic.h"
#include "kernel/features.h"
#include "kernel/gdt.h"
#include "kernel/trap.h"
#include "lib/context.h"
#include "lib/counter.h"
#include "lib/features.h"
#include "lib/string.h"
#include "lib/wait.h"
#include "lib/x86/desc.h"
#include "mm/kmap.h"
#include "smp/cpus.h"
#include "tests/test.h"
#include "tests/trap_test.h"

#define ARRIVAL_LIMIT_MS 100u
#define RFLAGS_DF        0x400ull
#define MSR_SYSENTER_CS  0x174u /* and ESP and EIP */
#define MSR_KERNEL_GS    0xc0000102u
#define SYSENTER_LEFT    0x1230u /* as if a loader had left it in all three */

static u64 counted(const char *name)
{
    const struct counter *c = counter_find(name);
    return c ? counter_sum(c) : ~0ull;
}

static void trap_unexpected(struct test *t)
{
    u64 before = counted("irq_unexpected");
    __asm__ volatile("int %0" ::"i"(VECTOR_UNUSED) : "memory");
    CHECK(t, counted("irq_unexpected") == before + 1, "by INT: counted %llu",
          (unsigned long long)counted("irq_unexpected"));
    /* Two through the APIC: the second one only comes if the first was ended. */
    for (u32 i = 2; i < 4; i++) {
        struct wait w = WAIT("an interrupt to oneself", wait_ms(ARRIVAL_LIMIT_MS));
        apic_send_fixed_self(VECTOR_UNUSED);
        while (counted("irq_unexpected") != before + i && wait_spin(&w))
            ;
        CHECK(t, counted("irq_unexpected") == before + i, "interrupt %u did not arrive", i);
        CHECK(t, !apic_vector_in_service(VECTOR_UNUSED), "interrupt %u was not ended", i);
    }
}
TEST(trap_unexpected, "an interrupt that nobody handles is counted and ended");

static void trap_spurious(struct test *t)
{
    u64 apic = counted("irq_spurious"), pic = counted("irq_pic_spurious");
    __asm__ volatile("int %0" ::"i"(VECTOR_SPURIOUS) : "memory");
    CHECK(t, counted("irq_spurious") == apic + 1, "the APIC's spurious interrupt was not counted");
    __asm__ volatile("int %0" ::"i"(VECTOR_PIC_FIRST + 7) : "memory");
    __asm__ volatile("int %0" ::"i"(VECTOR_PIC_LAST) : "memory");
    CHECK(t, counted("irq_pic_spurious") == pic + 2,
          "%llu of the 8259s' spurious interrupts counted, expected 2",
          (unsigned long long)(counted("irq_pic_spurious") - pic));
    CHECK(t, in8(0x21) == 0xff && in8(0xa1) == 0xff, "the 8259s are not masked: %x %x", in8(0x21), in8(0xa1));
}
TEST(trap_spurious, "spurious interrupts of the APIC and of the 8259s are told apart and counted");

static void trap_raw(struct test *t)
{
    u64 before = this_cpu(trap_raw_count);
    for (u32 i = 1; i <= 100; i++) {
        struct wait w = WAIT("a raw interrupt to oneself", wait_ms(ARRIVAL_LIMIT_MS));
        apic_send_fixed_self(VECTOR_RAW);
        while (atomic_load_relaxed(this_cpu_ptr(trap_raw_count)) != before + i && wait_spin(&w))
            ;
    }
    CHECK(t, this_cpu(trap_raw_count) == before + 100, "%llu of 100 were counted",
          (unsigned long long)(this_cpu(trap_raw_count) - before));
    CHECK(t, !apic_vector_in_service(VECTOR_RAW), "the last one was not ended");
}
TEST(trap_raw, "the raw vector counts each interrupt and ends it");

static struct {
    u32 runs, irq_depth, nmi_depth;
    u64 flags;
} inside;

static void look_around(void)
{
    inside.runs++;
    inside.irq_depth = this_cpu(percpu_head.irq_depth);
    inside.nmi_depth = this_cpu(percpu_head.nmi_depth);
    inside.flags = rflags_read();
}

static void trap_context(struct test *t)
{
    memset(&inside, 0, sizeof(inside));
    CHECK(t, !context_is_irq() && !context_is_nmi() && irq_enabled(), "a test is a thread");
    trap_test_vector_call(look_around);
    /* A user-access section (AC set) and a string operation downwards (DF set): neither may reach the handler. */
    u64 back;
    __asm__ volatile("pushfq\n\torq %2, (%%rsp)\n\tpopfq\n\tint %1\n\tpushfq\n\tpopq %0\n\tpushq %0\n\tandq "
                     "%3, (%%rsp)\n\tpopfq"
                     : "=&r"(back)
                     : "i"(VECTOR_TEST), "r"(RFLAGS_AC | RFLAGS_DF), "r"(~(RFLAGS_AC | RFLAGS_DF))
                     : "memory", "cc");
    trap_test_vector_call(NULL);
    REQUIRE(t, inside.runs == 1, "the handler ran %u times", inside.runs);
    CHECK(t, inside.irq_depth == 1 && inside.nmi_depth == 0, "depths were %u and %u", inside.irq_depth,
          inside.nmi_depth);
    CHECK(t, !(inside.flags & RFLAGS_IF), "the handler ran with interrupts on");
    CHECK(t, !(inside.flags & RFLAGS_DF), "the handler ran with DF set");
    CHECK(t, !features.smap || !(inside.flags & RFLAGS_AC), "the handler ran with AC set: SMAP was open");
    CHECK(t, (back & (RFLAGS_AC | RFLAGS_DF)) == (RFLAGS_AC | RFLAGS_DF), "the flags came back as %llx",
          (unsigned long long)back);
    CHECK(t, !context_is_irq(), "irq_depth is %u afterwards", this_cpu(percpu_head.irq_depth));
}
TEST(trap_context,
     "a handler runs with interrupts off, depth raised, DF and AC clear; afterwards all is as before");

static struct cpu_state {
    bool seen, tables_are_ours;
    u16 task, code;
    u64 idt;
    struct tss tss;
    struct control_registers control;
} states[MAX_CPUS];

static void record_state(void)
{
    struct desc_pointer gdt, idt;
    struct cpu_state *s = &states[cpu_self()];
    sgdt(&gdt);
    sidt(&idt);
    __asm__ volatile("movw %%cs, %0" : "=r"(s->code));
    s->tables_are_ours = gdt.base == (u64)this_cpu_ptr(cpu_segments)->gdt && idt.limit == 256 * 16 - 1;
    s->idt = idt.base;
    s->task = str();
    s->tss = this_cpu_ptr(cpu_segments)->tss;
    s->control = control_registers_read();
    s->seen = true;
}

static void check_ist(struct test *t, cpu_t c, const struct tss *tss)
{
    for (u32 i = 0; i < 3; i++) {
        const char *name = kmap_guard_name(tss->ist[i] - KSTACK_SIZE - 1);
        CHECK(t, name, "CPU %u: no guard page under IST stack %u at %llx", c, i + 1,
              (unsigned long long)tss->ist[i]);
        for (u32 j = 0; j < i; j++)
            CHECK(t, tss->ist[i] != tss->ist[j], "CPU %u: IST stacks %u and %u are the same", c, i + 1,
                  j + 1);
    }
}

static void trap_each_cpu(struct test *t)
{
    struct control_registers want = features_control_registers();
    memset(states, 0, sizeof(states));
    REQUIRE(t, trap_test_on_each(record_state), "a CPU did not answer");
    for (cpu_t c = 0; c < cpu_count(); c++) {
        const struct cpu_state *s = &states[c];
        if (!cpu_is_online(c))
            continue;
        CHECK(t, s->seen && s->tables_are_ours, "CPU %u uses tables that are not its own", c);
        CHECK(t, s->idt == states[0].idt, "CPU %u has another IDT than CPU 0", c);
        CHECK(t, s->task == SEL_TSS && s->code == SEL_KERNEL_CODE, "CPU %u: TR %x, CS %x", c, s->task,
              s->code);
        check_ist(t, c, &s->tss);
        CHECK(t, s->control.cr0 == want.cr0, "CPU %u: CR0 is %llx, not %llx", c,
              (unsigned long long)s->control.cr0, (unsigned long long)want.cr0);
        CHECK(t, s->control.cr4 == want.cr4, "CPU %u: CR4 is %llx, not %llx", c,
              (unsigned long long)s->control.cr4, (unsigned long long)want.cr4);
        CHECK(t, s->control.efer == want.efer, "CPU %u: EFER is %llx, not %llx", c,
              (unsigned long long)s->control.efer, (unsigned long long)want.efer);
        CHECK(t, s->control.pat == want.pat, "CPU %u: PAT is %llx, not %llx", c,
              (unsigned long long)s->control.pat, (unsigned long long)want.pat);
    }
}
TEST(trap_each_cpu,
     "every CPU has its own GDT, TSS and guarded IST stacks, the same IDT, and the same control registers");

/* Of all CPUs, registers of SYSENTER: not 0 before the test; set as by a loader; not 0 after our initialisation. */
static struct {
    u32 before, set, left;
} sysenter;

static void init_again(void)
{
    u64 user_gs = rdmsr(MSR_KERNEL_GS);
    if (!(cpuid(1, 0).edx >> 11 & 1)) /* SEP */
        return;
    for (u32 i = 0; i < 3; i++) {
        atomic_fetch_add(&sysenter.before, rdmsr(MSR_SYSENTER_CS + i) != 0);
        wrmsr(MSR_SYSENTER_CS + i, SYSENTER_LEFT);
        atomic_fetch_add(&sysenter.set, rdmsr(MSR_SYSENTER_CS + i) == SYSENTER_LEFT);
    }
    syscall_init_cpu();
    for (u32 i = 0; i < 3; i++) {
        atomic_fetch_add(&sysenter.left, rdmsr(MSR_SYSENTER_CS + i) != 0);
        wrmsr(MSR_SYSENTER_CS + i, 0);
    }
    wrmsr(MSR_KERNEL_GS, user_gs);
}

static void trap_no_sysenter(struct test *t)
{
    memset(&sysenter, 0, sizeof(sysenter));
    REQUIRE(t, trap_test_on_each(init_again), "a CPU did not answer");
    CHECK(t, sysenter.before == 0, "%u registers of SYSENTER had something in them", sysenter.before);
    CHECK(t, sysenter.left == 0, "%u of %u registers kept what a loader had left", sysenter.left,
          sysenter.set);
    if (!sysenter.set)
        test_blind(t, "this machine has no such registers, or does not keep what is written to them");
}
TEST(trap_no_sysenter, "what a loader has left in SYSENTER's registers is gone on every CPU");
