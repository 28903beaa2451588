/* An NMI between STI and the HLT or MWAIT behind it, with an interrupt pending: the halt does not begin, so nothing is slept through.
 *
 * INT 2 enters the NMI handler with RIP at the next instruction, on every machine, and no luck is needed. */
#include "apic/apic.h"
#include "kernel/backtrace.h"
#include "kernel/gdt.h"
#include "kernel/nmi.h"
#include "kernel/timer.h"
#include "lib/context.h"
#include "lib/features.h"
#include "lib/image.h"
#include "lib/x86/cpu.h"
#include "tests/test.h"
#include "tests/trap_test.h"

#define RESCUE_US 20000u /* until the timer ends a halt that should not have begun */
#define PAUSES    200u   /* until an interrupt to oneself is pending for sure */

static struct {
    u64 halt, behind; /* where the instruction lies, and the next one */
    u64 interrupted;  /* where the interrupt came that the NMI had left pending */
    u32 interrupts;
    err_t timer;
} seen;

/* In the NMI handler. */
static void leave_one_pending(void)
{
    apic_send_fixed_self(VECTOR_TEST);
    for (u32 i = 0; i < PAUSES; i++)
        cpu_pause();
}

/* In the handler of that interrupt. */
static void look_where(void)
{
    struct backtrace b;
    backtrace_capture((u64)look_where, 0, (u64)__builtin_frame_address(0), &b);
    seen.interrupts++;
    for (u32 i = 0; i < b.count; i++)
        if (b.at[i].kind == BACKTRACE_INTERRUPT && b.at[i].vector == VECTOR_TEST)
            seen.interrupted = b.at[i].rip;
}

#define HALT_BEHIND_NMI(instruction)                                                                         \
    __asm__ volatile("leaq 1f(%%rip), %%rdx\n\tmovq %%rdx, %[halt]\n\t"                                      \
                     "leaq 2f(%%rip), %%rdx\n\tmovq %%rdx, %[behind]\n\t"                                    \
                     "int $2\n1:\t" instruction "\n2:"                                                       \
                     : [halt] "=m"(seen.halt), [behind] "=m"(seen.behind)                                    \
                     : "a"(0), "c"(0)                                                                        \
                     : "rdx", "memory")

/* Again and again, as the first may come before the halt. */
static void rescue(void)
{
    seen.timer = timer_oneshot_us(RESCUE_US, rescue);
}

/* Interrupts on, preemption off. */
static void halt_behind_nmi(struct test *t, bool mwait)
{
    seen.interrupted = seen.interrupts = 0;
    trap_test_nmi_expect(true);
    trap_test_nmi_call(leave_one_pending);
    trap_test_vector_call(look_where);
    irq_disable();
    rescue();
    irq_enable();
    if (CHECK(t, seen.timer == ERR_OK, "no timer that could end the halt")) {
        if (mwait)
            HALT_BEHIND_NMI("mwait");
        else
            HALT_BEHIND_NMI("hlt");
    }
    irq_disable();
    timer_cancel();
    irq_enable();
    trap_test_vector_call(NULL);
    trap_test_nmi_call(NULL);
    trap_test_nmi_expect(false);
    CHECK(t, seen.interrupts == 1, "%u of 1 interrupts came", seen.interrupts);
    CHECK(t, seen.interrupted != seen.halt, "the interrupt was handled before the %s, which then began",
          mwait ? "MWAIT" : "HLT");
    if (seen.interrupted != seen.behind)
        test_blind(t, "on this machine the interrupt was not pending yet when the NMI had ended");
}

static u64 goes_on_at(u64 rip, u64 cs, u64 rflags)
{
    struct trap_frame f = {.rip = rip, .cs = cs, .rflags = rflags};
    nmi_step_over_halt(&f);
    return f.rip;
}

/* Frames as they may be: only a halt of the kernel's with interrupts on is stepped over, and nothing else is read. */
static void check_decision(struct test *t)
{
    static const u8 halt_in_data[] = {0xf4, 0xf4, 0xf4};
    u64 data = (u64)halt_in_data, end = (u64)kernel_text_end;
    CHECK(t, goes_on_at(seen.halt, SEL_KERNEL_CODE, RFLAGS_IF) == seen.behind, "not stepped over");
    CHECK(t, goes_on_at(seen.halt, SEL_KERNEL_CODE, 0) == seen.halt, "a halt for good was stepped over");
    CHECK(t, goes_on_at(seen.halt, SEL_USER_CODE, RFLAGS_IF) == seen.halt, "ring 3 was helped on");
    CHECK(t, goes_on_at(seen.halt - 2, SEL_KERNEL_CODE, RFLAGS_IF) == seen.halt - 2, "INT 2 is no halt");
    CHECK(t, goes_on_at(data, SEL_KERNEL_CODE, RFLAGS_IF) == data, "no code");
    CHECK(t, goes_on_at(end, SEL_KERNEL_CODE, RFLAGS_IF) == end, "the end of the code");
    CHECK(t, goes_on_at(0, SEL_KERNEL_CODE, RFLAGS_IF) == 0, "null");
}

static void nmi_before_halt(struct test *t)
{
    if (!timer_is_usable()) {
        test_skip(t, "needs a timer, which ends the halt if it should begin");
        return;
    }
    preempt_disable();
    halt_behind_nmi(t, false);
    check_decision(t);
    if (features.mwait) {
        halt_behind_nmi(t, true);
        check_decision(t);
    }
    preempt_enable();
}
TEST(nmi_before_halt, "an NMI between STI and HLT or MWAIT loses no wake-up: the halt does not begin");
