/* Control registers, EFER and PAT: written whole, never OR'd into, because firmware differs in what it leaves there,
 * and an AP starts with caches off and nothing set. Manual: SDM volume 3A, sections 2.5 (CR0, CR4), 2.2.1 (EFER),
 * 12.12 (PAT). */
#include "kernel/features.h"
#include "lib/assert.h"
#include "lib/x86/cpu.h"

#define CR0_PE         (1ull << 0)
#define CR0_MP         (1ull << 1)
#define CR0_ET         (1ull << 4)
#define CR0_NE         (1ull << 5)
#define CR0_WP         (1ull << 16) /* the kernel too respects read-only pages */
#define CR0_PG         (1ull << 31)

#define CR4_DE         (1ull << 3)
#define CR4_PAE        (1ull << 5)
#define CR4_MCE        (1ull << 6) /* off, a machine check would shut the CPU down without a word */
#define CR4_PGE        (1ull << 7)
#define CR4_OSFXSR     (1ull << 9)
#define CR4_OSXMMEXCPT (1ull << 10)
#define CR4_UMIP       (1ull << 11)
#define CR4_PCIDE      (1ull << 17)
#define CR4_OSXSAVE    (1ull << 18)
#define CR4_SMEP       (1ull << 20)
#define CR4_SMAP       (1ull << 21)
/* Left off: FSGSBASE, because the NMI entry tells the kernel's GS base from ring 3's by its sign (trap_entry.asm), and with it
 * ring 3 could write its own base; TSD, because ring 3 may read the time; PCE; LA57, CET, PKE, because firmware may have left
 * them on. */

#define CR3_LOW_BITS 0xfffull

#define MSR_EFER     0xc0000080u
#define EFER_SCE     (1ull << 0) /* SYSCALL exists */
#define EFER_LME     (1ull << 8)
#define EFER_LMA     (1ull << 10)
#define EFER_NXE     (1ull << 11)

/* The power-on value, but for entry 4, which becomes write-combining (1) instead of write-back (6). */
#define MSR_PAT   0x277u
#define PAT_VALUE 0x0007040100070406ull

struct control_registers features_control_registers(void)
{
    u64 cr4 = CR4_DE | CR4_PAE | CR4_MCE | CR4_OSFXSR | CR4_OSXMMEXCPT;
    cr4 |= features.pge ? CR4_PGE : 0;
    cr4 |= features.umip ? CR4_UMIP : 0;
    cr4 |= features.pcid ? CR4_PCIDE : 0;
    cr4 |= features.smep ? CR4_SMEP : 0;
    cr4 |= features.smap ? CR4_SMAP : 0;
    cr4 |= features.xsave ? CR4_OSXSAVE : 0; /* XCR0: kernel/fpu.c */
    return (struct control_registers){
        .cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG,
        .cr4 = cr4,
        .efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE,
        .pat = PAT_VALUE,
    };
}

struct control_registers control_registers_read(void)
{
    return (struct control_registers){
        .cr0 = cr0_read(),
        .cr4 = cr4_read(),
        .efer = rdmsr(MSR_EFER),
        .pat = rdmsr(MSR_PAT),
    };
}

void control_registers_write(const struct control_registers *r)
{
    wrmsr(MSR_EFER, r->efer);
    cr0_write(r->cr0);
    /* PCIDE may be set only in long mode and on PCID 0 (SDM volume 3A, section 4.10.1): boot's tables and the trampoline's have
     * nothing in these bits. From then on a load of CR3 names a PCID. */
    ASSERT(!(r->cr4 & CR4_PCIDE) || (cr4_read() & CR4_PCIDE) || !(cr3_read() & CR3_LOW_BITS),
           "PCIDs are turned on while PCID 0 is loaded");
    /* The first CPU has no page of entry 4 yet; the others are in tables that map the framebuffer by it, and may have cached that as
     * write-back, globally. PGE going off forgets what is global, and all else (SDM volume 3A, section 4.10.4.1); was it off,
     * nothing is global, and the load of CR3 forgets the rest. No line of the framebuffer is cached: who has
     * drawn on it by now had to say that it goes no further. */
    wrmsr(MSR_PAT, r->pat);
    cr4_write(r->cr4 & ~CR4_PGE);
    cr3_write(cr3_read());
    cr4_write(r->cr4);
}
