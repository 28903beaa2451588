/* Do interrupts leave every register alone? Fills them all, lets interrupts come, looks again. */
#include "apic/apic.h"
#include "kernel/trap.h"
#include "kernel/worker.h"
#include "lib/atomic.h"
#include "lib/context.h"
#include "lib/wait.h"
#include "smp/cpus.h"
#include "smp/message.h"
#include "tests/test.h"
#include "tests/trap_test.h"

#define REGISTERS 15u /* in the order of struct trap_frame, all but RSP */
#define SPINS     20000u
#define STORM     300u

/* No two alike, and none that a sign extension makes. */
static const u64 pattern[REGISTERS] = {
    0x5a17c0de00000101, 0x5a17c0de00000202, 0x5a17c0de00000303, 0x5a17c0de00000404, 0x5a17c0de00000505,
    0x5a17c0de00000606, 0x5a17c0de00000707, 0x5a17c0de00000808, 0x5a17c0de00000909, 0x5a17c0de00000a0a,
    0x5a17c0de00000b0b, 0x5a17c0de00000c0c, 0x5a17c0de00000d0d, 0x5a17c0de00000e0e, 0x5a17c0de00000f0f,
};
static const char *const name[REGISTERS] = {"r15", "r14", "r13", "r12", "r11", "r10", "r9", "r8",
                                            "rbp", "rdi", "rsi", "rdx", "rcx", "rbx", "rax"};

/* middle: instructions that change no register; it may count down the word at the top of the stack, which starts as
 * SPINS. RSI = the patterns and RDI = where the registers go afterwards are put on the stack first, because they are
 * filled too. */
#define FILL_AND_LOOK(after, middle, ...)                                                                    \
    do {                                                                                                     \
        const u64 *from_ = pattern;                                                                          \
        u64 *to_ = (after);                                                                                  \
        __asm__ volatile(                                                                                    \
            "pushq %%rbp\n\tpushq %%rdi\n\tpushq %[spins]\n\t"                                               \
            "movq (%%rsi), %%r15\n\tmovq 8(%%rsi), %%r14\n\tmovq 16(%%rsi), %%r13\n\t"                       \
            "movq 24(%%rsi), %%r12\n\tmovq 32(%%rsi), %%r11\n\tmovq 40(%%rsi), %%r10\n\t"                    \
            "movq 48(%%rsi), %%r9\n\tmovq 56(%%rsi), %%r8\n\tmovq 64(%%rsi), %%rbp\n\t"                      \
            "movq 72(%%rsi), %%rdi\n\tmovq 88(%%rsi), %%rdx\n\tmovq 96(%%rsi), %%rcx\n\t"                    \
            "movq 104(%%rsi), %%rbx\n\tmovq 112(%%rsi), %%rax\n\tmovq 80(%%rsi), %%rsi\n\t" middle           \
            "pushq %%rax\n\tpushq %%rbx\n\tpushq %%rcx\n\tpushq %%rdx\n\tpushq %%rsi\n\t"                    \
            "pushq %%rdi\n\tpushq %%rbp\n\tpushq %%r8\n\tpushq %%r9\n\tpushq %%r10\n\t"                      \
            "pushq %%r11\n\tpushq %%r12\n\tpushq %%r13\n\tpushq %%r14\n\tpushq %%r15\n\t"                    \
            "movq 128(%%rsp), %%rdi\n\tmovl $15, %%ecx\n\tmovq %%rsp, %%rsi\n\trep movsq\n\t"                \
            "addq $128, %%rsp\n\tpopq %%rdi\n\tpopq %%rbp"                                                   \
            : "+S"(from_), "+D"(to_)                                                                         \
            : [spins] "i"(SPINS), ##__VA_ARGS__                                                              \
            : "rax", "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "cc",        \
              "memory");                                                                                     \
    } while (0)

static void compare(struct test *t, const u64 *after, const char *what)
{
    for (u32 i = 0; i < REGISTERS; i++)
        CHECK(t, after[i] == pattern[i], "%s: %s was %llx and is %llx", what, name[i],
              (unsigned long long)pattern[i], (unsigned long long)after[i]);
}

/* Through each kind of entry path, by INT: no interrupt is in service then, so the EOI that the handlers send ends
 * nothing. */
static void trap_registers_kept(struct test *t)
{
    u64 after[REGISTERS];
    FILL_AND_LOOK(after, "int %[v]\n\t", [v] "i"(VECTOR_TEST));
    compare(t, after, "generic entry");
    FILL_AND_LOOK(after, "int %[v]\n\t", [v] "i"(VECTOR_RAW));
    compare(t, after, "raw entry");
    FILL_AND_LOOK(after, "int %[v]\n\t", [v] "i"(VECTOR_MESSAGE));
    compare(t, after, "message entry");
}
TEST(trap_registers_kept, "each entry path restores every register");

static u64 spun[REGISTERS];
static u32 storm_over;

static void spin(void *arg)
{
    (void)arg;
    u64 after[REGISTERS];
    do {
        FILL_AND_LOOK(after, "1:\tpause\n\tdecq (%%rsp)\n\tjnz 1b\n\t");
        for (u32 i = 0; i < REGISTERS; i++)
            if (after[i] != pattern[i])
                spun[i] = after[i];
    } while (!atomic_load_relaxed(&storm_over));
}

/* Interrupts and NMIs on each other's heels, at every instruction of the entry paths too. */
static void trap_registers_storm(struct test *t)
{
    cpu_t victim = trap_test_other_cpu();
    if (victim == CPU_NONE) {
        test_skip(t, "needs 2 CPUs");
        return;
    }
    for (u32 i = 0; i < REGISTERS; i++)
        spun[i] = pattern[i];
    atomic_store_relaxed(&storm_over, 0);
    u64 raw_before = atomic_load_relaxed(&per_cpu(trap_raw_count, victim));
    trap_test_nmi_expect(true);
    REQUIRE(t, worker_start(victim, spin, NULL) == ERR_OK, "CPU %u takes work", victim);
    for (u32 i = 0; i < STORM; i++) {
        apic_send_nmi(cpu_apic_id(victim));
        apic_send_fixed(cpu_apic_id(victim), VECTOR_RAW);
        smp_doorbell(victim);
        for (u32 pause = i % 16; pause; pause--)
            cpu_pause();
    }
    atomic_store_relaxed(&storm_over, 1);
    CHECK(t, worker_wait(victim, 2000) == ERR_OK, "CPU %u survives", victim);
    trap_test_nmi_expect(false);
    compare(t, spun, "storm");
    CHECK(t, atomic_load_relaxed(&per_cpu(trap_raw_count, victim)) > raw_before, "no raw interrupt arrived");
    CHECK(t, trap_test_nmi_count(victim) > 0, "no NMI arrived");
}
TEST(trap_registers_storm, "NMIs, raw interrupts and doorbells in each other's way restore every register");
