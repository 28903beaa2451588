/* Everything that ring 3 can raise arrives as ring 3's exception, with the right vector, and leaves the kernel as it was. */
#include "kernel/abi/syscall.h"
#include "lib/context.h"
#include "lib/features.h"
#include "lib/image.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/layout.h"
#include "tests/ring3.h"

#define NOT_CANONICAL 0x0000800000000000ull
#define EXC_STACK     12u
#define EXC_SIMD      19u

#define INSTRUCTIONS(X)                                                                                      \
    X(ring3_divide, EXC_DIVIDE_ERROR)                                                                        \
    X(ring3_int1, EXC_DEBUG)                                                                                 \
    X(ring3_int3, EXC_BREAKPOINT)                                                                            \
    X(ring3_hlt, EXC_GENERAL_PROTECTION)                                                                     \
    X(ring3_cli, EXC_GENERAL_PROTECTION)                                                                     \
    X(ring3_port, EXC_GENERAL_PROTECTION)                                                                    \
    X(ring3_cr0, EXC_GENERAL_PROTECTION)                                                                     \
    X(ring3_rdmsr, EXC_GENERAL_PROTECTION)                                                                   \
    X(ring3_wrfsbase, EXC_INVALID_OPCODE)                                                                    \
    X(ring3_swapgs, EXC_GENERAL_PROTECTION)                                                                  \
    X(ring3_sysret, EXC_GENERAL_PROTECTION)                                                                  \
    X(ring3_iret_to_kernel, EXC_GENERAL_PROTECTION)                                                          \
    X(ring3_stop, EXC_INVALID_OPCODE)

#define DECLARE(label, vector) extern const char label[];
INSTRUCTIONS(DECLARE)
extern const char ring3_int_n[], ring3_simd[], ring3_sgdt[], ring3_str[], ring3_read[], ring3_write[],
    ring3_jump[], ring3_stack_read[], ring3_return_to[];

static void expect(struct test *t, struct ring3 *r, struct trap_frame f, const char *what, u64 vector)
{
    u32 before = r->frames;
    ring3_run(r, &f);
    CHECK(t, f.vector == vector, "%s: %s at %llx, expected %s", what, trap_name(f.vector),
          (unsigned long long)f.rip, trap_name(vector));
    CHECK(t, r->frames == before + 1, "%s: %u exceptions", what, r->frames - before);
    CHECK(t, !context_is_irq() && !context_is_nmi() && irq_enabled(), "%s: depths %u and %u afterwards", what,
          this_cpu(percpu_head.irq_depth), this_cpu(percpu_head.nmi_depth));
}

static void ring3_exceptions(struct test *t)
{
    struct ring3 r;
    if (ring3_open(t, &r)) {
#define EXPECT(label, vector) expect(t, &r, ring3_frame(&r, RING3_CODE(label)), #label, vector);
        INSTRUCTIONS(EXPECT)
        if (emulator != EMULATOR_TCG) /* which never raises it */
            EXPECT(ring3_simd, EXC_SIMD)
        if (features.umip) {
            EXPECT(ring3_sgdt, EXC_GENERAL_PROTECTION)
            EXPECT(ring3_str, EXC_GENERAL_PROTECTION)
        }
    }
    ring3_close(&r);
}
TEST(ring3_exceptions, "each exception of ring 3 is reported as what it is, and the kernel goes on");

/* By INT ring 3 could imitate what only the hardware may raise: a page fault with the error code it likes, a message. */
static void ring3_int(struct test *t)
{
    struct ring3 r;
    if (ring3_open(t, &r)) {
        u8 *vector = (u8 *)r.code + (RING3_CODE(ring3_int_n) - RING3_VA) + 1;
        for (u32 v = 0; v < 256; v++) {
            char what[16];
            *vector = (u8)v;
            format(what, sizeof(what), "INT %u", v);
            expect(t, &r, ring3_frame(&r, RING3_CODE(ring3_int_n)), what,
                   v == EXC_BREAKPOINT ? EXC_BREAKPOINT : EXC_GENERAL_PROTECTION);
        }
    }
    ring3_close(&r);
}
TEST(ring3_int, "INT n of ring 3 is #GP, whatever n, but for the breakpoint");

static void touch(struct test *t, struct ring3 *r, const char *code, const char *what, vaddr_t address,
                  u64 error)
{
    struct trap_frame f = ring3_frame(r, RING3_CODE(code));
    f.rax = address;
    bool canonical = vaddr_is_canonical(address);
    ring3_run(r, &f);
    if (canonical)
        CHECK(t, f.vector == EXC_PAGE_FAULT && r->address == address && f.error == error,
              "%s %llx: %s, error %llx, CR2 %llx", what, (unsigned long long)address, trap_name(f.vector),
              (unsigned long long)f.error, (unsigned long long)r->address);
    else
        CHECK(t, f.vector == EXC_GENERAL_PROTECTION || f.vector == EXC_STACK, "%s %llx: %s", what,
              (unsigned long long)address, trap_name(f.vector));
}

/* Kernel pages are closed whether they are mapped or not: ring 3 cannot even tell which (P is set in the error code of those
 * that are; a process never gets to see it). With page-table isolation most are not mapped at all. */
static void ring3_cannot_reach_the_kernel(struct test *t)
{
    static u64 data = 7;
    const struct {
        vaddr_t address;
        bool mapped;
    } kernel[] = {{(u64)kernel_text_start, true},
                  {(u64)kernel_rodata_start, true},
                  {(u64)&data, true},
                  {percpu_base[0], true},
                  {DIRECT_MAP_BASE + 2 * MIB, true},
                  {KERNEL_HALF - 8 + DIRECT_MAP_SIZE, false},
                  {(u64)kernel_entry_start, true},
                  {~7ull, false}};
    struct ring3 r;
    if (ring3_open(t, &r)) {
        for (u32 i = 0; i < ARRAY_SIZE(kernel); i++) {
            vaddr_t a = kernel[i].address;
            struct pt_entry e = space_query(r.space, a);
            if (!CHECK(t, e.present == kernel[i].mapped, "%llx is %smapped", (unsigned long long)a,
                       e.present ? "" : "not "))
                continue;
            struct trap_frame f = ring3_frame(&r, RING3_CODE(ring3_read));
            f.rax = a;
            f.rcx = 1;
            ring3_run(&r, &f);
            CHECK(t, f.vector == EXC_PAGE_FAULT && r.address == a && f.error & PF_USER && f.rcx == 1,
                  "read of %llx: %s, error %llx", (unsigned long long)a, trap_name(f.vector),
                  (unsigned long long)f.error);
            f = ring3_frame(&r, RING3_CODE(ring3_write));
            f.rax = a;
            ring3_run(&r, &f);
            CHECK(t, f.vector == EXC_PAGE_FAULT && r.address == a && f.error & PF_USER && f.error & PF_WRITE,
                  "write to %llx: %s, error %llx", (unsigned long long)a, trap_name(f.vector),
                  (unsigned long long)f.error);
            f = ring3_frame(&r, RING3_CODE(ring3_jump));
            f.rax = a;
            ring3_run(&r, &f);
            CHECK(t, f.vector == EXC_PAGE_FAULT && r.address == a && f.error & PF_USER,
                  "jump to %llx: %s, error %llx", (unsigned long long)a, trap_name(f.vector),
                  (unsigned long long)f.error);
        }
        CHECK(t, data == 7, "the kernel's data is %llu", (unsigned long long)data);
    }
    ring3_close(&r);
}
TEST(ring3_cannot_reach_the_kernel, "ring 3 cannot read, write or execute kernel memory");

static void ring3_own_pages(struct test *t)
{
    struct ring3 r;
    if (ring3_open(t, &r)) {
        touch(t, &r, ring3_read, "read of", RING3_NOWHERE, PF_USER);
        touch(t, &r, ring3_write, "write to", RING3_NOWHERE, PF_USER | PF_WRITE);
        touch(t, &r, ring3_jump, "jump to", RING3_NOWHERE, PF_USER | PF_FETCH);
        touch(t, &r, ring3_read, "read of", 0, PF_USER);
        touch(t, &r, ring3_write, "write to", RING3_VA, PF_USER | PF_WRITE | PF_PRESENT);
        touch(t, &r, ring3_jump, "jump to data at", RING3_DATA, PF_USER | PF_FETCH | PF_PRESENT);
        touch(t, &r, ring3_jump, "jump to the stack at", RING3_STACK - 8, PF_USER | PF_FETCH | PF_PRESENT);
        touch(t, &r, ring3_read, "read of", NOT_CANONICAL, 0);
        touch(t, &r, ring3_jump, "jump to", NOT_CANONICAL, 0);
        touch(t, &r, ring3_stack_read, "stack read of", NOT_CANONICAL, 0);
        touch(t, &r, ring3_return_to, "return by a stack at", NOT_CANONICAL, 0);
        touch(t, &r, ring3_jump, "jump to", SYS_USER_END, PF_USER | PF_FETCH);
    }
    ring3_close(&r);
}
TEST(ring3_own_pages,
     "in its own half ring 3 gets what its pages allow: no write to code, no execution of data");
