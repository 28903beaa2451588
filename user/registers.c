/* Vector and x87 registers are each thread's own: threads that share a CPU, yield, are preempted and move keep what they have put there,
 * and a new thread finds nothing of anybody's. */
#include "user/lib/atomic.h"
#include "user/lib/check.h"
#include "user/lib/cpu.h"
#include "user/lib/print.h"
#include "user/lib/start.h"
#include "user/lib/thread.h"
#include "user/lib/workload.h"

#define THREADS       6u /* on two CPUs */
#define ROUNDS_USUAL  60u
#define SPIN          20000u /* turns: some rounds last longer than a time slice */
#define FCW_INITIAL   0x37fu
#define MXCSR_INITIAL 0x1f80u

static bool has_avx;
static u64 rounds, cpus, spin;
static const struct workload *shared; /* NULL: nobody will say stop */
static u64 generation;                /* so that a late thread does not find the pattern of an early one */

typedef u8 ymm_t[32] __attribute__((aligned(32)));
struct registers {
    ymm_t ymm[16];
    u32 mxcsr;
    uint16_t fcw;
} __attribute__((aligned(32)));

static void find_avx(void)
{
    u32 a = 1, b, c = 0, d, low, high;
    __asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    if (!(c >> 27 & 1) || !(c >> 28 & 1)) /* OSXSAVE, AVX */
        return;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    has_avx = (low & 6) == 6;
}

#define EACH(X)                       X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
#define LOAD_YMM(n)                   "vmovdqa " #n "*32(%[in]), %%ymm" #n "\n\t"
#define STORE_YMM(n)                  "vmovdqa %%ymm" #n ", " #n "*32(%[out])\n\t"
#define LOAD_XMM(n)                   "movdqa " #n "*32(%[in]), %%xmm" #n "\n\t"
#define STORE_XMM(n)                  "movdqa %%xmm" #n ", " #n "*32(%[out])\n\t"
#define CONTROLS(op_mxcsr, op_fcw, r) op_mxcsr " 512(" r ")\n\t" op_fcw " 516(" r ")\n\t"
#define BETWEEN                       "1: pause\n\tdec %[turns]\n\tjnz 1b\n\tmovq %[call], %%rax\n\tsyscall\n\t"
#define CLOBBERS                      "rax", "rcx", "r11", "memory", "cc"

/* Loads all registers, spins, yields, and stores them: the compiler sees nothing of it. */
static void keep(const struct registers *in, struct registers *out, u64 turns, u64 call)
{
    u64 left = turns;
    if (has_avx)
        __asm__ volatile(EACH(LOAD_YMM) CONTROLS("ldmxcsr", "fldcw", "%[in]") BETWEEN EACH(STORE_YMM)
                             CONTROLS("stmxcsr", "fnstcw", "%[out]")
                         : [turns] "+r"(left)
                         : [in] "r"(in), [out] "r"(out), [call] "r"(call)
                         : CLOBBERS);
    else
        __asm__ volatile(EACH(LOAD_XMM) CONTROLS("ldmxcsr", "fldcw", "%[in]") BETWEEN EACH(STORE_XMM)
                             CONTROLS("stmxcsr", "fnstcw", "%[out]")
                         : [turns] "+r"(left)
                         : [in] "r"(in), [out] "r"(out), [call] "r"(call)
                         : CLOBBERS);
}

static void look(struct registers *out)
{
    if (has_avx)
        __asm__ volatile(EACH(STORE_YMM) CONTROLS("stmxcsr", "fnstcw", "%[out]")::[out] "r"(out) : "memory");
    else
        __asm__ volatile(EACH(STORE_XMM) CONTROLS("stmxcsr", "fnstcw", "%[out]")::[out] "r"(out) : "memory");
}

static void check_new(void)
{
    static struct registers found[2 * THREADS];
    static u64 next;
    struct registers *r = &found[atomic_fetch_add(&next, 1) % (2 * THREADS)];
    look(r);
    u32 width = has_avx ? 32 : 16, dirty = 0;
    /* The upper half of the registers: what compiled code has used of them by now would be the lower ones. */
    for (u32 i = 8; i < 16; i++)
        for (u32 k = 0; k < width; k++)
            dirty += r->ymm[i][k] != 0;
    check(dirty == 0, "a new thread finds %u bytes in its vector registers", dirty);
    check(r->mxcsr == MXCSR_INITIAL && r->fcw == FCW_INITIAL, "a new thread finds MXCSR %x, FCW %x", r->mxcsr,
          r->fcw);
}

static s64 hold(u64 number)
{
    struct registers in, out;
    check_new();
    u64 seed = number * 0x9e3779b97f4a7c15ull + atomic_fetch_add(&generation, 1);
    for (u64 i = 0; i < rounds && !workload_stopped(shared); i++) {
        for (u32 k = 0; k < 16; k++)
            for (u32 j = 0; j < 32; j++)
                in.ymm[k][j] = (u8)((seed += 0x2545f4914f6cdd1dull) >> 56);
        in.mxcsr = MXCSR_INITIAL | (number & 3) << 13; /* rounding */
        in.fcw = (uint16_t)((FCW_INITIAL & ~0xc00u) | (number & 3) << 10);
        keep(&in, &out, i % 4 ? 10 : spin, SYS_THREAD_YIELD);
        u32 width = has_avx ? 32 : 16, wrong = 0;
        for (u32 k = 0; k < 16; k++)
            for (u32 j = 0; j < width; j++)
                wrong += in.ymm[k][j] != out.ymm[k][j];
        check(wrong == 0, "thread %llu, round %llu: %u bytes of vector registers changed", ULL(number),
              ULL(i), wrong);
        check(in.mxcsr == out.mxcsr && in.fcw == out.fcw, "thread %llu: MXCSR %x, FCW %x, were %x, %x",
              ULL(number), out.mxcsr, out.fcw, in.mxcsr, in.fcw);
        if (i % 8 == 7)
            check(sys_thread_move(0, (number + i / 8) % MIN(cpus, 2ull)) == 0, "thread %llu cannot move",
                  ULL(number));
    }
    return 0;
}

s64 program(u64 arg)
{
    struct workload *w = workload_of(arg);
    struct thread t[THREADS];
    u64 started = 0;
    check_begin(w);
    shared = w;
    find_avx();
    rounds = workload_count(w, arg, ROUNDS_USUAL);
    cpus = (u64)sys_cpus(0, NULL);
    spin =
        workload_pauses(workload_pauses(SPIN, 300), 40); /* with many CPUs each of them lasts longer, too */
    for (u32 lap = 0; lap < 2 && !workload_stopped(w); lap++) { /* the second finds what the first has left */
        for (started = 0; started < THREADS; started++)
            if (!check(thread_create(&t[started], hold, started, started % MIN(cpus, 2ull)) == 0,
                       "no thread %llu", ULL(started)))
                break;
        for (u64 i = 0; i < started; i++)
            check(thread_join(&t[i], NULL) == 0, "thread %llu cannot be joined", ULL(i));
    }
    say("%s registers of %u threads", has_avx ? "AVX" : "SSE", THREADS);
    return check_end();
}
