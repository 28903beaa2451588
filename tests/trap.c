/* Exceptions: each arrives as what it is, with the right error code and address, and the code that expected it goes
 * on. */
#include "kernel/trap.h"

#include "kernel/extable.h"
#include "lib/features.h"
#include "lib/image.h"
#include "lib/string.h"
#include "lib/x86/cpu.h"
#include "mm/frame.h"
#include "mm/space.h"
#include "tests/test.h"

#define NOT_CANONICAL 0x8000000000000000ull
#define USER_PAGE     0x0000000010000000ull
#define MSR_EFER      0xc0000080u
#define MSR_PAT       0x277u
#define PAT_RESERVED                                                                                         \
    0x0007040600070402ull /* entry 0 of type 2, which is reserved (SDM volume 3A, table 11-10) */
#define BEYOND_THE_GDT 0x7ff8u

/* ---- page faults, seen through the hook ---- */

static struct {
    u64 error;
    vaddr_t address;
    u32 count;
} seen;
static bool (*hook_before)(struct trap_frame *f, vaddr_t address);

static bool watch(struct trap_frame *f, vaddr_t address)
{
    seen.error = f->error;
    seen.address = address;
    seen.count++;
    return hook_before && hook_before(f, address);
}

static void watch_faults(bool on)
{
    if (on)
        hook_before = trap_page_fault_hook;
    trap_page_fault_hook = on ? watch : hook_before;
    memset(&seen, 0, sizeof(seen));
}

static void expect_fault(struct test *t, const char *what, int got, vaddr_t address, u64 error)
{
    CHECK(t, got == EXC_PAGE_FAULT, "%s: returned %d, not #PF", what, got);
    CHECK(t, seen.count == 1 && seen.address == address,
          "%s: %u faults, the last at %llx, expected one at %llx", what, seen.count,
          (unsigned long long)seen.address, (unsigned long long)address);
    CHECK(t, seen.error == error, "%s: error code %llx, expected %llx", what, (unsigned long long)seen.error,
          (unsigned long long)error);
    memset(&seen, 0, sizeof(seen));
}

static u64 answer(void)
{
    return 42;
}

static void trap_page_faults(struct test *t)
{
    static u64 data = 7; /* in .data: writable, not executable */
    u64 v = 0;
    void *text = kernel_text_start, *rodata = kernel_rodata_start;

    CHECK(t, safe_read_u64(&data, &v) == 0 && v == 7, "a good read gives %llu", (unsigned long long)v);
    CHECK(t, safe_write_u64(&data, 8) == 0 && data == 8, "a good write gives %llu", (unsigned long long)data);
    CHECK(t, safe_call(answer, &v) == 0 && v == 42, "a good call gives %llu", (unsigned long long)v);

    watch_faults(true);
    expect_fault(t, "read of null", safe_read_u64(NULL, &v), 0, 0);
    expect_fault(t, "write to null", safe_write_u64((void *)8, 1), 8, PF_WRITE);
    expect_fault(t, "call of null", safe_call(NULL, &v), 0, PF_FETCH);
    expect_fault(t, "write to text", safe_write_u64(text, 0), (u64)text, PF_PRESENT | PF_WRITE);
    expect_fault(t, "write to rodata", safe_write_u64(rodata, 0), (u64)rodata, PF_PRESENT | PF_WRITE);
    expect_fault(t, "execution of data", safe_call((u64(*)(void)) & data, &v), (u64)&data,
                 PF_PRESENT | PF_FETCH);
    watch_faults(false);
    CHECK(t, safe_call(answer, &v) == 0 && v == 42, "and then all is as before");
}
TEST(trap_page_faults,
     "page faults report address and access; null, text, rodata and data are protected as they should be");

/* The kernel must not touch or execute ring 3's pages unawares. */
static void trap_smap_smep(struct test *t)
{
    if (!features.smap && !features.smep) {
        test_skip(t, "this CPU has neither SMAP nor SMEP, or they are off");
        return;
    }
    struct space *s;
    u64 v;
    REQUIRE(t, space_create(&s) == ERR_OK, "no memory for a space");
    err_t e = space_map_fresh(s, USER_PAGE, 1, PT_WRITE | PT_EXEC | PT_USER, FRAME_OWNER_TEST);
    if (CHECK(t, e == ERR_OK, "mapping failed: %s", err_name(e))) {
        space_load(s);
        watch_faults(true);
        if (features.smap) {
            expect_fault(t, "read of a user page", safe_read_u64((void *)USER_PAGE, &v), USER_PAGE,
                         PF_PRESENT);
            expect_fault(t, "write to a user page", safe_write_u64((void *)USER_PAGE, 1), USER_PAGE,
                         PF_PRESENT | PF_WRITE);
        }
        if (features.smep)
            expect_fault(t, "execution of a user page", safe_call((u64(*)(void))USER_PAGE, &v), USER_PAGE,
                         PF_PRESENT | PF_FETCH);
        watch_faults(false);
        space_load(NULL);
    }
    space_destroy(s);
}
TEST(trap_smap_smep, "the kernel cannot read, write or execute user pages by mistake");

/* ---- other exceptions, through the exception table ---- */

static u64 divide_by_zero(void)
{
    u64 rax = 1, rdx = 0;
    __asm__ volatile("1: divq %2\n2:\n" EXTABLE("1b", "2b") : "+a"(rax), "+d"(rdx) : "r"(0ull) : "cc");
    return rax;
}

static u64 undefined_opcode(void)
{
    u64 rax = 0;
    __asm__ volatile("1: ud2\n2:\n" EXTABLE("1b", "2b") : "+a"(rax));
    return rax;
}

static u64 breakpoint(void)
{
    u64 rax = 0;
    __asm__ volatile("int3\n1: nop\n2:\n" EXTABLE("1b", "2b") : "+a"(rax));
    return rax;
}

static u64 bad_selector(void)
{
    u64 rax = BEYOND_THE_GDT;
    __asm__ volatile("1: movl %%eax, %%es\n2:\n" EXTABLE("1b", "2b") : "+a"(rax));
    return rax;
}

static void trap_exceptions(struct test *t)
{
    u64 v = 0;
    CHECK(t, divide_by_zero() == EXC_DIVIDE_ERROR, "DIV by 0 raised %llu",
          (unsigned long long)divide_by_zero());
    CHECK(t, undefined_opcode() == EXC_INVALID_OPCODE, "UD2 raised %llu",
          (unsigned long long)undefined_opcode());
    CHECK(t, breakpoint() == EXC_BREAKPOINT, "INT3 raised %llu", (unsigned long long)breakpoint());
    CHECK(t, bad_selector() == EXC_GENERAL_PROTECTION, "a selector beyond the GDT raised %llu",
          (unsigned long long)bad_selector());
    int got = safe_read_u64((void *)NOT_CANONICAL, &v);
    CHECK(t, got == EXC_GENERAL_PROTECTION, "reading a non-canonical address raised %d", got);
    got = safe_call((u64(*)(void))NOT_CANONICAL, &v);
    CHECK(t, got == EXC_GENERAL_PROTECTION, "calling a non-canonical address raised %d", got);
    CHECK(t, strcmp(trap_name(EXC_INVALID_OPCODE), "invalid opcode (#UD)") == 0, "#UD is called %s",
          trap_name(EXC_INVALID_OPCODE));
    for (u64 i = 0; i < 256; i++)
        CHECK(t, trap_name(i) && trap_name(i)[0], "vector %llu has no name", (unsigned long long)i);
}
TEST(trap_exceptions, "#DE, #UD, #BP and #GP are taken and survived");

static void trap_safe_msr(struct test *t)
{
    u64 v = 0, pat = rdmsr(MSR_PAT);
    CHECK(t, safe_rdmsr(MSR_EFER, &v) == 0 && v == rdmsr(MSR_EFER), "EFER reads %llx", (unsigned long long)v);
    CHECK(t, safe_wrmsr(MSR_PAT, pat) == 0 && rdmsr(MSR_PAT) == pat, "PAT written back reads %llx",
          (unsigned long long)rdmsr(MSR_PAT));
    int got = safe_wrmsr(MSR_PAT, PAT_RESERVED);
    if (got == 0) {
        wrmsr(MSR_PAT, pat);
        test_blind(t, "this machine takes a reserved memory type in PAT without #GP");
        return;
    }
    CHECK(t, got == EXC_GENERAL_PROTECTION && rdmsr(MSR_PAT) == pat, "a reserved memory type raised %d", got);
}
TEST(trap_safe_msr, "an MSR write that is refused returns #GP and changes nothing");

static void trap_descriptions(struct test *t)
{
    static const struct {
        u64 error;
        const char *text;
    } cases[] = {
        {0, "read of a page that is not present, by the kernel, at 1234"},
        {PF_WRITE, "write to a page that is not present, by the kernel, at 1234"},
        {PF_FETCH | PF_USER, "execution of a page that is not present, by ring 3, at 1234"},
        {PF_PRESENT | PF_WRITE, "write to a page that does not allow it, by the kernel, at 1234"},
        {PF_PRESENT | PF_RESERVED | PF_WRITE,
         "write to a page with a reserved bit set in its tables, by the kernel, at 1234"},
    };
    for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
        char text[128];
        trap_describe_page_fault(text, sizeof(text), cases[i].error, 0x1234);
        CHECK(t, strcmp(text, cases[i].text) == 0, "error code %llx: \"%s\"",
              (unsigned long long)cases[i].error, text);
    }
}
TEST(trap_descriptions, "page-fault error codes are put into the right words");
