/* From ring 3 into the kernel and back: system calls, interrupts and exceptions, with whatever ring 3 has in its registers. */
#include "apic/apic.h"
#include "kernel/abi/syscall.h"
#include "kernel/gdt.h"
#include "lib/context.h"
#include "lib/features.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "mm/layout.h"
#include "smp/message.h"
#include "tests/ring3.h"
#include "tests/trap_test.h"

#define CALLS          2000u
#define NULL_CALL_GOAL 120u /* Bochs ticks, from RDTSC to RDTSC */
#define RFLAGS_TF      0x100ull
#define RFLAGS_DF      0x400ull
#define RFLAGS_NT      0x4000ull
#define RFLAGS_FIXED   0x2ull /* bit 1 is always set */
#define RFLAGS_STATUS  0x8d5ull
#define NOT_CANONICAL  0x0000800000000000ull
#define MSR_FMASK      0xc0000084u

extern const char ring3_stop[], ring3_nops[], ring3_nops_end[], ring3_system_call[], ring3_system_call_done[],
    ring3_time_call[], ring3_many_calls[], ring3_segments[], ring3_mov_ss_system_call[];

#define REGISTERS 15u /* of struct trap_frame, from r15 to rax */
static const char *const name[REGISTERS] = {"r15", "r14", "r13", "r12", "r11", "r10", "r9", "r8",
                                            "rbp", "rdi", "rsi", "rdx", "rcx", "rbx", "rax"};
#define PATTERN(i) (0xfedcba9800000000ull + (i)*0x01010101u)

static void fill(struct trap_frame *f)
{
    u64 *reg = &f->r15;
    for (u32 i = 0; i < REGISTERS; i++)
        reg[i] = PATTERN(i);
}

/* Those whose bit is set in `lost` need not be. */
static void compare(struct test *t, const char *what, const struct trap_frame *f, u32 lost)
{
    const u64 *reg = &f->r15;
    for (u32 i = 0; i < REGISTERS; i++)
        if (!(lost >> i & 1))
            CHECK(t, reg[i] == PATTERN(i), "%s: %s is %llx", what, name[i], (unsigned long long)reg[i]);
    CHECK(t, f->rsp == RING3_STACK, "%s: rsp is %llx", what, (unsigned long long)f->rsp);
}
#define BIT_OF(member) (1u << offsetof(struct trap_frame, member) / sizeof(u64))

static void ring3_registers(struct test *t)
{
    struct ring3 r;
    if (ring3_open(t, &r)) {
        struct trap_frame f = ring3_frame(&r, RING3_CODE(ring3_stop));
        fill(&f);
        ring3_run(&r, &f);
        CHECK(t, f.vector == EXC_INVALID_OPCODE && f.rip == RING3_CODE(ring3_stop), "ended by %s at %llx",
              trap_name(f.vector), (unsigned long long)f.rip);
        compare(t, "first entry", &f, 0);

        f = ring3_frame(&r, RING3_CODE(ring3_system_call));
        fill(&f);
        f.rax = SYS_NULL;
        ring3_run(&r, &f);
        u64 done = RING3_CODE(ring3_system_call_done);
        CHECK(t, f.vector == EXC_INVALID_OPCODE && f.rip == done, "ended by %s at %llx", trap_name(f.vector),
              (unsigned long long)f.rip);
        compare(t, "system call", &f, BIT_OF(rax) | BIT_OF(rcx) | BIT_OF(r11));
        CHECK(t, f.rax == 0, "the null call returned %llx", (unsigned long long)f.rax);
        CHECK(t, f.rcx == done, "RCX is %llx, not where SYSCALL returns to", (unsigned long long)f.rcx);
        CHECK(t, (f.r11 & ~RFLAGS_STATUS) == (RFLAGS_IF | RFLAGS_FIXED), "R11 is %llx, not the flags",
              (unsigned long long)f.r11);
    }
    ring3_close(&r);
}
TEST(ring3_registers, "every register survives the first entry, and a system call but RAX, RCX and R11");

static u32 taken;
static u64 flags_inside;
static void count_interrupt(void)
{
    taken++;
    flags_inside = rflags_read();
}

/* Sent with interrupts off, it comes at the first instruction of ring 3. */
static void interrupt_ring3(struct test *t, struct ring3 *r, vector_t v, u64 flags, const char *what)
{
    struct trap_frame f = ring3_frame(r, RING3_CODE(ring3_nops));
    fill(&f);
    f.rflags |= flags;
    irq_disable();
    apic_send_fixed_self(v);
    ring3_run(r, &f);
    CHECK(t, f.vector == EXC_INVALID_OPCODE && f.rip == RING3_CODE(ring3_nops_end), "%s: ended by %s at %llx",
          what, trap_name(f.vector), (unsigned long long)f.rip);
    compare(t, what, &f, 0);
    CHECK(t, (f.rflags & flags) == flags, "%s: flags %llx came back as %llx", what, (unsigned long long)flags,
          (unsigned long long)f.rflags);
    CHECK(t, !apic_vector_in_service(v), "%s: not ended", what);
}

static void ring3_interrupts(struct test *t)
{
    struct ring3 r;
    if (ring3_open(t, &r)) {
        taken = 0;
        trap_test_vector_call(count_interrupt);
        interrupt_ring3(t, &r, VECTOR_TEST, 0, "generic entry");
        CHECK(t, taken == 1, "the handler ran %u times", taken);
        u64 raw = this_cpu(trap_raw_count);
        interrupt_ring3(t, &r, VECTOR_RAW, 0, "raw entry");
        CHECK(t, this_cpu(trap_raw_count) == raw + 1, "the raw interrupt was not counted");
        interrupt_ring3(t, &r, VECTOR_MESSAGE, 0, "message entry");

        interrupt_ring3(t, &r, VECTOR_TEST, RFLAGS_DF | RFLAGS_AC | RFLAGS_NT, "generic entry, DF AC NT set");
        CHECK(t,
              taken == 2 && !(flags_inside & (RFLAGS_DF | RFLAGS_NT)) &&
                  (!features.smap || !(flags_inside & RFLAGS_AC)),
              "the handler ran with flags %llx", (unsigned long long)flags_inside);
        interrupt_ring3(t, &r, VECTOR_MESSAGE, RFLAGS_DF | RFLAGS_AC | RFLAGS_NT,
                        "message entry, DF AC NT set");
        trap_test_vector_call(NULL);
        CHECK(t, !context_is_irq(), "irq_depth is %u", this_cpu(percpu_head.irq_depth));
    }
    ring3_close(&r);
}
TEST(ring3_interrupts, "every register and flag of ring 3 survives an interrupt, by each entry path");

static void ring3_flags(struct test *t)
{
    struct ring3 r;
    if (ring3_open(t, &r)) {
        const u64 flags = RFLAGS_DF | RFLAGS_AC | RFLAGS_NT;
        CHECK(t, (rdmsr(MSR_FMASK) & (flags | RFLAGS_TF | RFLAGS_IF)) == (flags | RFLAGS_TF | RFLAGS_IF),
              "SYSCALL clears only %llx", (unsigned long long)rdmsr(MSR_FMASK));
        struct trap_frame f = ring3_frame(&r, RING3_CODE(ring3_system_call));
        f.rax = SYS_NULL;
        f.rflags |= flags;
        ring3_run(&r, &f);
        CHECK(t, f.vector == EXC_INVALID_OPCODE && f.rax == 0, "ended by %s, RAX %llx", trap_name(f.vector),
              (unsigned long long)f.rax);
        CHECK(t, (f.rflags & flags) == flags, "DF, AC and NT came back as %llx",
              (unsigned long long)f.rflags);

        /* Single-stepping into the kernel: no trap there, one in ring 3. */
        f = ring3_frame(&r, RING3_CODE(ring3_system_call));
        f.rax = SYS_NULL;
        f.rflags |= RFLAGS_TF;
        ring3_run(&r, &f);
        CHECK(t,
              (f.vector == EXC_DEBUG || f.vector == EXC_INVALID_OPCODE) && f.rax == 0 &&
                  f.rip == RING3_CODE(ring3_system_call_done),
              "single-stepped: ended by %s at %llx", trap_name(f.vector), (unsigned long long)f.rip);
        f = ring3_frame(&r, RING3_CODE(ring3_nops));
        f.rflags |= RFLAGS_TF;
        ring3_run(&r, &f);
        CHECK(t, f.vector == EXC_DEBUG && f.rip == RING3_CODE(ring3_nops) + 1,
              "single-stepped: ended by %s at %llx", trap_name(f.vector), (unsigned long long)f.rip);
        f = ring3_frame(&r, RING3_CODE(ring3_mov_ss_system_call));
        f.rflags |= RFLAGS_TF;
        ring3_run(&r, &f);
        CHECK(t, (f.cs & 3) == 3 && f.vector == EXC_DEBUG, "MOV SS, SYSCALL: ended by %s",
              trap_name(f.vector));
    }
    ring3_close(&r);
}
TEST(ring3_flags, "DF, AC, TF and NT set by ring 3 do no harm, and are there again afterwards");

static void ring3_segments_loaded(struct test *t)
{
    struct ring3 r;
    if (ring3_open(t, &r)) {
        struct trap_frame f = ring3_frame(&r, RING3_CODE(ring3_segments));
        f.rax = f.r15 = SYS_NULL;
        ring3_run(&r, &f);
        CHECK(t, f.vector == EXC_INVALID_OPCODE && f.rax == 0, "ended by %s at %llx", trap_name(f.vector),
              (unsigned long long)f.rip);
        CHECK(t, this_cpu(percpu_head.self) == percpu_base[cpu_self()], "the kernel's GS base is %llx",
              (unsigned long long)this_cpu(percpu_head.self));
    }
    ring3_close(&r);
}
TEST(ring3_segments_loaded, "what ring 3 loads into its segment registers does not move the kernel's GS");

/* The last instruction that can be: SYSCALL in the last two bytes below the page that is never mapped. */
static void ring3_call_at_the_end(struct test *t)
{
    static const u8 code[] = {0x0f, 0x05};
    struct ring3 r;
    if (ring3_open(t, &r)) {
        err_t e = space_map_fresh(r.space, SYS_USER_END - PAGE_SIZE, 1, PT_EXEC | PT_USER, FRAME_OWNER_TEST);
        if (CHECK(t, e == ERR_OK, "mapping failed: %s", err_name(e))) {
            struct pt_entry last = space_query(r.space, SYS_USER_END - PAGE_SIZE);
            memcpy((u8 *)phys_to_virt(last.pa) + PAGE_SIZE - sizeof(code), code, sizeof(code));
            struct trap_frame f = ring3_frame(&r, SYS_USER_END - sizeof(code));
            f.rax = SYS_NULL;
            ring3_run(&r, &f);
            CHECK(t, f.rax == 0 && f.rcx == SYS_USER_END, "RAX %llx, RCX %llx", (unsigned long long)f.rax,
                  (unsigned long long)f.rcx);
            CHECK(t, f.vector == EXC_PAGE_FAULT && f.rip == SYS_USER_END && r.address == SYS_USER_END,
                  "ended by %s at %llx", trap_name(f.vector), (unsigned long long)f.rip);
        }
    }
    ring3_close(&r);
}
TEST(ring3_call_at_the_end,
     "SYSCALL as the last instruction of the user half returns to ring 3, and faults there");

/* A stack pointer of ring 3 that is the kernel's, or no address at all, is only a number. */
static void ring3_bad_stack(struct test *t)
{
    const u64 stacks[] = {0, 8, NOT_CANONICAL, (u64)&taken, ~0ull, KERNEL_HALF, DIRECT_MAP_BASE + MIB};
    struct ring3 r;
    if (ring3_open(t, &r)) {
        trap_test_vector_call(count_interrupt);
        for (u32 i = 0; i < ARRAY_SIZE(stacks); i++) {
            struct trap_frame f = ring3_frame(&r, RING3_CODE(ring3_system_call));
            f.rax = SYS_NULL;
            f.rsp = stacks[i];
            ring3_run(&r, &f);
            CHECK(t, f.vector == EXC_INVALID_OPCODE && f.rax == 0 && f.rsp == stacks[i],
                  "stack %llx: ended by %s, RSP %llx", (unsigned long long)stacks[i], trap_name(f.vector),
                  (unsigned long long)f.rsp);
            f = ring3_frame(&r, RING3_CODE(ring3_nops));
            f.rsp = stacks[i];
            taken = 0;
            irq_disable();
            apic_send_fixed_self(VECTOR_TEST);
            ring3_run(&r, &f);
            CHECK(t, taken == 1 && f.vector == EXC_INVALID_OPCODE && f.rsp == stacks[i],
                  "stack %llx, interrupt: ended by %s", (unsigned long long)stacks[i], trap_name(f.vector));
        }
        trap_test_vector_call(NULL);
    }
    ring3_close(&r);
}
TEST(ring3_bad_stack, "a stack pointer of ring 3 that points at the kernel or nowhere is never used by it");

static void ring3_null_call(struct test *t)
{
    struct ring3 r;
    if (ring3_open(t, &r)) {
        struct trap_frame f = ring3_frame(&r, RING3_CODE(ring3_time_call));
        f.rax = SYS_NULL;
        f.r12 = CALLS;
        ring3_run(&r, &f);
        CHECK(t, f.vector == EXC_INVALID_OPCODE && f.r12 == 0, "ended by %s", trap_name(f.vector));
        test_note(t, "%llu ticks from RDTSC to RDTSC", (unsigned long long)f.r13);
        if (emulator == EMULATOR_BOCHS)
            CHECK(t, f.r13 > 20 && f.r13 <= NULL_CALL_GOAL, "%llu ticks, at most %u are allowed",
                  (unsigned long long)f.r13, NULL_CALL_GOAL);

        f = ring3_frame(&r, RING3_CODE(ring3_many_calls));
        f.rax = SYS_NULL;
        f.r12 = CALLS;
        f.r13 = 0;
        ring3_run(&r, &f);
        CHECK(t, f.vector == EXC_INVALID_OPCODE && f.r12 == 0 && f.r13 == 0,
              "ended by %s; %llu of %u calls changed a register", trap_name(f.vector),
              (unsigned long long)f.r13, CALLS);
    }
    ring3_close(&r);
}
TEST(ring3_null_call, "a null system call in at most 120 ticks of Bochs, there and back");
