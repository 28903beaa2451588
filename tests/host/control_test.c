/* Control registers, EFER and PAT on a CPU that comes up, whatever was in them: what is written, in an order in which nothing faults,
 * and no translation cached before the new PAT is used after it.
 *
 *     sources: kernel/control.c
 *     sanitize: address,undefined
 */
#include "kernel/features.h"
#include "lib/x86/cpu.h"
#include "tests/host/host.h"

#define CR4_PGE   (1ull << 7)
#define CR4_PCIDE (1ull << 17)
#define CR4_SMEP  (1ull << 20)
#define CR4_SMAP  (1ull << 21)
#define CR4_START 0x6e8ull /* with which the trampoline enters: smp/bringup.c */
#define CR4_BOOT  0x20ull  /* and boot/entry32.asm */
#define EFER_LMA  (1ull << 10)
#define PAT_RESET 0x0007040600070406ull
#define ROOT      0x1234000ull

struct cpu_features features;

static u64 cr0, cr3, cr4, cr4_allowed, efer, pat;
/* Was there a time since the last flush at which a page of the old memory type could be cached, as a global entry, or another one? */
static bool old_global, old_other;

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
    return cr3;
}

/* Before each instruction, a CPU may cache anything that its tables and PAT say. */
static void cache(void)
{
    if (pat != PAT_RESET)
        return;
    old_global = old_global || (cr4 & CR4_PGE);
    old_other = true;
}

void cr3_write(u64 v)
{
    cache();
    HOST_CHECK(v == ROOT, "another root, or not PCID 0: %lx", v);
    cr3 = v;
    old_other = false;
}
u64 cr4_read(void)
{
    return cr4;
}
void cr4_write(u64 v)
{
    cache();
    HOST_CHECK(!(v & ~cr4_allowed), "CR4 %lx: a bit that the CPU has not, of %lx, faults", v, cr4_allowed);
    HOST_CHECK(!(v & CR4_PCIDE) || (cr4 & CR4_PCIDE) || !(cr3 & 0xfff), "PCIDE while PCID %lx is loaded",
               cr3 & 0xfff);
    if ((cr4 ^ v) & CR4_PGE || (~cr4 & v & CR4_SMEP) || (cr4 & ~v & CR4_PCIDE))
        old_global = old_other = false;
    cr4 = v;
}
u64 rdmsr(u32 msr)
{
    return msr == 0x277 ? pat : msr == 0xc0000080 ? efer : 0;
}
void wrmsr(u32 msr, u64 v)
{
    cache();
    HOST_CHECK(msr == 0x277 || msr == 0xc0000080, "MSR %x", msr);
    *(msr == 0x277 ? &pat : &efer) = v;
}

static void come_up(u64 cr4_was, u64 allowed)
{
    cr0 = 0x80010033, cr3 = ROOT, cr4 = cr4_was, cr4_allowed = allowed, pat = PAT_RESET;
    old_global = old_other = false;
    efer = 0xd01;
    struct control_registers want = features_control_registers();
    control_registers_write(&want);
    struct control_registers got = control_registers_read();
    HOST_CHECK(got.cr0 == want.cr0 && got.cr4 == want.cr4 && got.efer == want.efer && got.pat == want.pat,
               "CR0 %lx CR4 %lx EFER %lx PAT %lx", got.cr0, got.cr4, got.efer, got.pat);
    HOST_CHECK(got.efer & EFER_LMA, "EFER %lx", got.efer);
    HOST_CHECK((got.pat >> 32 & 0xff) == 1 && (got.pat & 0xffffffff) == (PAT_RESET & 0xffffffff), "PAT %lx",
               got.pat);
    HOST_CHECK(!old_global && !old_other,
               "from CR4 %lx to %lx: what was cached before the new PAT is used after it (%s)", cr4_was,
               got.cr4, old_global ? "global" : "not global");
}

HOST_TEST(whatever_was_there_and_whatever_the_cpu_has)
{
    const u64 always = CR4_START & ~CR4_PGE;
    for (u32 i = 0; i < 16; i++) {
        features = (struct cpu_features){.pge = i & 1, .pcid = i & 2, .smep = i & 4, .smap = i & 8};
        u64 has = always | (i & 1 ? CR4_PGE : 0) | (i & 2 ? CR4_PCIDE : 0) | (i & 4 ? CR4_SMEP : 0) |
                  (i & 8 ? CR4_SMAP : 0);
        come_up(CR4_BOOT, has);
        come_up(CR4_START, has);
        come_up(CR4_START | CR4_SMEP | CR4_SMAP, has);
        come_up(has, has);
    }
}
