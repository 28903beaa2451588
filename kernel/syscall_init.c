/* The registers behind SYSCALL and SYSRET (SDM volume 3A, section 5.8.8), and behind SYSENTER, which is not used (5.8.7). EFER.SCE:
 * kernel/control.c. */
#include "kernel/gdt.h"
#include "kernel/trap.h"
#include "lib/x86/cpu.h"

#define MSR_STAR           0xc0000081u
#define MSR_LSTAR          0xc0000082u
#define MSR_FMASK          0xc0000084u
#define MSR_KERNEL_GS_BASE 0xc0000102u
#define MSR_SYSENTER_CS    0x174u
#define MSR_SYSENTER_ESP   0x175u
#define MSR_SYSENTER_EIP   0x176u
#define CPUID_SEP          (1u << 11) /* leaf 1, EDX: these three exist */

/* What SYSCALL clears in RFLAGS: interrupts come when the dispatcher wants them; string instructions go upwards; ring 3
 * can neither open SMAP (AC), nor single-step the kernel (TF), nor make its IRET a task switch, which is #GP (NT). IOPL is
 * 0 in ring 3 anyway. */
#define FMASK       (RFLAGS_TF | RFLAGS_IF | RFLAGS_DF | RFLAGS_IOPL | RFLAGS_NT | RFLAGS_AC)
#define RFLAGS_TF   0x100ull
#define RFLAGS_DF   0x400ull
#define RFLAGS_IOPL 0x3000ull
#define RFLAGS_NT   0x4000ull

extern const char syscall_entry[];

/* A loader, or a kernel before us, may have used SYSENTER, and ring 3 would enter ring 0 at its address. With a selector of 0
 * SYSENTER is #GP. */
static void close_sysenter(void)
{
    if (!(cpuid(1, 0).edx & CPUID_SEP))
        return;
    wrmsr(MSR_SYSENTER_CS, 0);
    wrmsr(MSR_SYSENTER_ESP, 0);
    wrmsr(MSR_SYSENTER_EIP, 0);
}

void syscall_init_cpu(void)
{
    /* SYSCALL loads CS = STAR[47:32] and SS = that + 8; SYSRETQ CS = STAR[63:48] + 16 and SS = that + 8, both with RPL 3. */
    _Static_assert(SEL_KERNEL_DATA == SEL_KERNEL_CODE + 8 && SEL_USER_DATA == ((SEL_KERNEL_DATA + 8) | 3) &&
                       SEL_USER_CODE == ((SEL_KERNEL_DATA + 16) | 3),
                   "the order that STAR wants");
    wrmsr(MSR_STAR, (u64)SEL_KERNEL_DATA << 48 | (u64)SEL_KERNEL_CODE << 32);
    wrmsr(MSR_LSTAR, (u64)syscall_entry);
    wrmsr(MSR_FMASK, FMASK);
    /* What SWAPGS gives ring 3 at its first entry. In the lower half, as the paranoid entries rely on (trap_entry.asm). */
    wrmsr(MSR_KERNEL_GS_BASE, 0);
    close_sysenter();
}
