/* XSAVE and its relatives: SDM volume 1, chapter 13; volume 2. */
#include "kernel/fpu.h"

#include "lib/assert.h"
#include "lib/counter.h"
#include "lib/features.h"
#include "lib/log.h"
#include "lib/string.h"
#include "lib/x86/cpu.h"

COUNTER(fpu_loads, "times that a thread's x87, SSE and AVX registers were loaded");

#define CPUID_XSAVE              0xdu
#define XSAVEOPT                 (1u << 0) /* CPUID leaf 0Dh, subleaf 1, EAX */

#define XCR0_X87                 (1ull << 0)
#define XCR0_SSE                 (1ull << 1)
#define XCR0_AVX                 (1ull << 2)
#define XCR0_AVX512              (7ull << 5) /* opmask, upper halves of ZMM0-15, ZMM16-31: all or none */
#define FXSAVE_BYTES             512u
#define FCW_INITIAL              0x37fu /* all exceptions masked, 64-bit precision */
#define MXCSR_INITIAL            0x1f80u
#define AMD_SAVES_ERROR_POINTERS (1u << 2) /* CPUID leaf 80000008h, EBX */

PERCPU(struct thread *, fpu_owner);

/* Write-once. */
static enum { BY_FXSAVE, BY_XSAVE, BY_XSAVEOPT } how;
static u64 components; /* XCR0 */
static u32 bytes = FXSAVE_BYTES;
static bool error_pointers_stay;
static char name[64];

static void xcr0_write(u64 v)
{
    __asm__ volatile("xsetbv" ::"c"(0), "a"((u32)v), "d"((u32)(v >> 32)) : "memory");
}

static u64 supported(void)
{
    struct cpuid_regs r = cpuid(CPUID_XSAVE, 0);
    return (u64)r.edx << 32 | r.eax;
}

/* AMD's processors before Zen 2 neither save nor load the last x87 instruction's pointers unless an exception is pending
 * (CVE-2006-1056). */
static bool are_error_pointers_kept(void)
{
    bool amd = strcmp(features.vendor, "AuthenticAMD") == 0 || strcmp(features.vendor, "HygonGenuine") == 0;
    return amd && !(cpuid(0x80000008u, 0).ebx & AMD_SAVES_ERROR_POINTERS);
}

void fpu_init(void)
{
    error_pointers_stay = are_error_pointers_kept();
    if (features.xsave) {
        u64 has = supported();
        components = has & (XCR0_X87 | XCR0_SSE | XCR0_AVX);
        if ((has & XCR0_AVX512) == XCR0_AVX512 && has & XCR0_AVX)
            components |= XCR0_AVX512;
        how = cpuid(CPUID_XSAVE, 1).eax & XSAVEOPT ? BY_XSAVEOPT : BY_XSAVE;
        xcr0_write(components);
        bytes = cpuid(CPUID_XSAVE, 0).ebx; /* of what XCR0 has enabled now */
        ASSERT(bytes <= FPU_BYTES_MAX, "the standard format's offsets are architectural up to AVX-512");
    }
    static const char *const names[] = {"fxsave", "xsave", "xsaveopt"};
    format(name, sizeof(name), "%s: x87 sse%s%s, %u bytes", names[how], components & XCR0_AVX ? " avx" : "",
           components & XCR0_AVX512 ? " avx512" : "", bytes);
    fpu_init_cpu();
}

void fpu_init_cpu(void)
{
    static const u32 mxcsr = MXCSR_INITIAL;
    if (features.xsave) {
        if (components & ~supported())
            panic("CPU %u lacks vector registers that the boot CPU has (%llx of XCR0)", cpu_self(),
                  (unsigned long long)(components & ~supported()));
        xcr0_write(components);
    }
    __asm__ volatile("fninit; ldmxcsr %0" ::"m"(mxcsr));
    this_cpu(fpu_owner) = NULL;
}

u32 fpu_bytes(void)
{
    return bytes;
}

const char *fpu_name(void)
{
    return name;
}

/* XSTATE_BV = 0 makes XRSTOR put every component into its initial state, but MXCSR, which comes from the area; FXRSTOR takes all
 * from there. */
void fpu_init_area(void *area)
{
    *(u16 *)area = FCW_INITIAL;
    *(u32 *)((u8 *)area + 24) = MXCSR_INITIAL;
}

void fpu_save(struct thread *prev)
{
    u32 low = (u32)components, high = (u32)(components >> 32);
    if (unlikely(prev->state == THREAD_DEAD)) {
        this_cpu(fpu_owner) = NULL;
        return;
    }
    if (likely(how == BY_XSAVEOPT))
        __asm__ volatile("xsaveopt64 (%0)" ::"r"(prev->fpu), "a"(low), "d"(high) : "memory");
    else if (how == BY_XSAVE)
        __asm__ volatile("xsave64 (%0)" ::"r"(prev->fpu), "a"(low), "d"(high) : "memory");
    else
        __asm__ volatile("fxsave64 (%0)" ::"r"(prev->fpu) : "memory");
}

void fpu_load(struct thread *next)
{
    static const u32 anything;
    counter_inc(fpu_loads);
    if (unlikely(error_pointers_stay)) /* the pointers become those of a load by the kernel */
        __asm__ volatile("fnclex; emms; fildl %0" ::"m"(anything));
    if (likely(how != BY_FXSAVE))
        __asm__ volatile("xrstor64 (%0)" ::"r"(next->fpu), "a"((u32)components), "d"((u32)(components >> 32))
                         : "memory");
    else
        __asm__ volatile("fxrstor64 (%0)" ::"r"(next->fpu) : "memory");
    this_cpu(fpu_owner) = next;
    next->fpu_cpu = cpu_self();
}
