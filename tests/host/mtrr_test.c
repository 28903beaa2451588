/* Memory types of the other CPUs: made those of the first, by the manual's order, and what a CPU does not take is said to be left.
 *
 *     sources: kernel/mtrr.c
 *     sanitize: address,undefined
 */
#include "kernel/mtrr.h"

#include "kernel/trap.h"
#include "lib/x86/cpu.h"
#include "tests/host/host.h"

#define CAP      0xfeu
#define TYPE     0x2ffu
#define ON       (1ull << 11)
#define NUMBERS  0x300u
#define VARIABLE 4u /* ranges */

static const u16 fixed[] = {0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f};

static u64 msr[NUMBERS], boot_cpu[NUMBERS];
static u32 stuck;   /* number that keeps its value, whatever is written; 0: none */
static u32 refused; /* number whose write faults; 0: none */
static u32 writes, writes_out_of_order;
static u64 cr0, cr4 = 0x6a0;

u64 cr0_read(void)
{
    return cr0;
}
void cr0_write(u64 v)
{
    cr0 = v;
}
u64 cr3_read(void)
{
    return 0;
}
void cr3_write(u64 v)
{
    (void)v;
}
u64 cr4_read(void)
{
    return cr4;
}
void cr4_write(u64 v)
{
    cr4 = v;
}
void wbinvd(void) {}
int safe_rdmsr(u32 n, u64 *out)
{
    if (n >= NUMBERS)
        return EXC_GENERAL_PROTECTION;
    *out = msr[n];
    return 0;
}
int safe_wrmsr(u32 n, u64 v)
{
    if (n >= NUMBERS || n == refused)
        return EXC_GENERAL_PROTECTION;
    writes++;
    /* Caches off, and the ranges off but for the last word. */
    writes_out_of_order += !(cr0 & 1u << 30) || (n != TYPE && (msr[TYPE] & ON));
    if (n != stuck)
        msr[n] = v;
    return 0;
}

/* The first CPU's ranges are kept; the CPU under test begins with the same. */
static void begin(void)
{
    for (u32 n = 0; n < NUMBERS; n++)
        boot_cpu[n] = 0x10000 + n;
    boot_cpu[CAP] = VARIABLE | 1u << 8;
    boot_cpu[TYPE] = ON | 6;
    memcpy(msr, boot_cpu, sizeof(msr));
    mtrr_keep();
    stuck = refused = writes = writes_out_of_order = 0;
    cr0 = 0x80010033;
}

static bool alike(void)
{
    bool same = msr[TYPE] == boot_cpu[TYPE];
    for (u32 n = 0x200; n < 0x200 + 2 * VARIABLE; n++)
        same = same && msr[n] == boot_cpu[n];
    for (u32 i = 0; i < ARRAY_SIZE(fixed); i++)
        same = same && msr[fixed[i]] == boot_cpu[fixed[i]];
    return same;
}

HOST_TEST(alike_is_left_alone)
{
    begin();
    struct mtrr_found m = mtrr_match();
    HOST_CHECK(!m.was && !m.left && !writes, "%x, %x, %u writes", m.was, m.left, writes);
}

HOST_TEST(each_difference_is_mended)
{
    static const u32 numbers[] = {TYPE, 0x200, 0x207, 0x250, 0x26f};
    for (u32 i = 0; i < ARRAY_SIZE(numbers); i++) {
        begin();
        msr[numbers[i]] ^= 0x100;
        struct mtrr_found m = mtrr_match();
        HOST_CHECK(m.was == numbers[i] && !m.left && alike(), "MTRR %x: was %x, left %x", numbers[i], m.was,
                   m.left);
        HOST_CHECK(!writes_out_of_order && cr0 == 0x80010033 && cr4 == 0x6a0, "%u of %u writes, CR0 %lx",
                   writes_out_of_order, writes, cr0);
    }
    begin();
    msr[0x200 + 2 * VARIABLE] = 0; /* not one of its ranges */
    HOST_CHECK(!mtrr_match().was, "a range that there is not");
}

HOST_TEST(what_is_not_taken_is_not_mended)
{
    begin();
    msr[0x202] = 1;
    msr[0x258] = 2;
    stuck = 0x258;
    struct mtrr_found m = mtrr_match();
    HOST_CHECK(m.was == 0x202 && m.left == 0x258, "was %x, left %x", m.was, m.left);
    begin();
    msr[0x203] = 1;
    refused = 0x203;
    m = mtrr_match();
    HOST_CHECK(m.was == 0x203 && m.left == 0x203, "was %x, left %x", m.was, m.left);
    begin();
    msr[CAP]++;
    m = mtrr_match();
    HOST_CHECK(m.was == CAP && m.left == CAP && !writes, "was %x, left %x, %u writes", m.was, m.left, writes);
}
