/* Backtraces: the functions that are there, in order, through interrupts too; and nothing wild is followed. */
#include "kernel/backtrace.h"

#include "apic/vectors.h"
#include "kernel/symbols.h"
#include "lib/string.h"
#include "mm/layout.h"
#include "smp/message.h"
#include "tests/test.h"
#include "tests/trap_test.h"

static struct backtrace taken;

static NOINLINE void take_here(void)
{
    backtrace_capture((u64)__builtin_return_address(0), 0, *(u64 *)__builtin_frame_address(0), &taken);
    compiler_barrier(); /* no tail call */
}
static NOINLINE void inner_function(void)
{
    take_here();
    compiler_barrier();
}
static NOINLINE void outer_function(void (*fn)(void))
{
    fn();
    compiler_barrier();
}

static bool is_in(u32 i, const char *function)
{
    u64 offset;
    const char *name = i < taken.count
                           ? symbol_name(taken.at[i].rip - (taken.at[i].kind != BACKTRACE_HERE &&
                                                            taken.at[i].kind != BACKTRACE_INTERRUPT),
                                         &offset)
                           : NULL;
    return name && strcmp(name, function) == 0;
}

/* Where the first interruption by that vector stands in the list. */
static u32 interruption(u32 vector)
{
    u32 i = 0;
    while (i < taken.count && (taken.at[i].kind != BACKTRACE_INTERRUPT || taken.at[i].vector != vector))
        i++;
    return i;
}

static void backtrace_names(struct test *t)
{
    outer_function(inner_function);
    CHECK(t, taken.count >= 4, "only %u frames", taken.count);
    CHECK(t, is_in(0, "inner_function") && taken.at[0].kind == BACKTRACE_HERE,
          "frame 0 is not inner_function");
    CHECK(t, is_in(1, "outer_function") && taken.at[1].kind == BACKTRACE_CALLER,
          "frame 1 is not outer_function");
    CHECK(t, is_in(2, "backtrace_names"), "frame 2 is not backtrace_names");
    char name[64];
    backtrace_name(name, sizeof(name), (u64)backtrace_names);
    CHECK(t, strcmp(name, "backtrace_names+0x0") == 0, "named %s", name);
}
TEST(backtrace_names, "a backtrace has the calling functions, in order");

static NOINLINE void interrupt_here(void)
{
    __asm__ volatile("int %0" ::"i"(VECTOR_TEST) : "memory");
    compiler_barrier();
}

static void backtrace_interrupt(struct test *t)
{
    trap_test_vector_call(inner_function);
    outer_function(interrupt_here);
    trap_test_vector_call(NULL);
    u32 i = interruption(VECTOR_TEST);
    REQUIRE(t, i < taken.count, "no interruption among %u frames", taken.count);
    CHECK(t, is_in(0, "inner_function"), "frame 0 is not inner_function");
    CHECK(t, is_in(i, "interrupt_here"), "the interrupted function is not interrupt_here");
    CHECK(t, is_in(i + 1, "outer_function"), "its caller is not outer_function");
}
TEST(backtrace_interrupt, "a backtrace goes on through an interrupt to what was interrupted");

static void look(struct msg_in *in)
{
    (void)in;
    take_here();
}
MSG_KIND(test_backtrace, look);

static void backtrace_message(struct test *t)
{
    cpu_t other = trap_test_other_cpu();
    if (other == CPU_NONE) {
        test_skip(t, "needs 2 CPUs");
        return;
    }
    struct msg m = {.kind = &test_backtrace, .flags = MSG_SYNC};
    taken.count = 0;
    REQUIRE(t, msg_call(other, &m) == ERR_OK, "CPU %u did not answer", other);
    u32 i = interruption(VECTOR_MESSAGE);
    CHECK(t, i < taken.count, "no interruption by a message among %u frames", taken.count);
    CHECK(t, is_in(i, "idle_wait") || is_in(i, "irq_enable_and_halt"),
          "CPU %u was not interrupted in its idle loop", other);
}
TEST(backtrace_message, "the same through the message entry, which saves no frame");

static void backtrace_wild(struct test *t)
{
    static const u64 wild[] = {
        0,
        1,
        0xfff,
        0x1234567890,
        0x00007ffffffffff8,
        0x0000800000000000,
        0xfffffffffffffff8,
        DIRECT_MAP_BASE + DIRECT_MAP_SIZE - 8,
        KMAP_BASE + KMAP_SIZE - 8,
        KERNEL_BASE - 8,
    };
    struct backtrace b;
    for (u32 i = 0; i < ARRAY_SIZE(wild); i++) {
        backtrace_capture((u64)backtrace_wild, wild[i], wild[i], &b);
        CHECK(t, b.count == 1, "frame pointer %llx gave %u frames", (unsigned long long)wild[i], b.count);
        CHECK(t, !backtrace_can_read(wild[i]), "%llx is called readable", (unsigned long long)wild[i]);
    }
    /* Frames that point at each other must not be followed for ever. */
    u64 loop[2] = {(u64)loop, (u64)backtrace_wild};
    backtrace_capture((u64)backtrace_wild, (u64)loop, (u64)loop, &b);
    CHECK(t, b.count == 2, "a frame that is its own caller gave %u frames", b.count);
}
TEST(backtrace_wild, "no wild frame pointer is followed");
