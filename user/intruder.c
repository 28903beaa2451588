/* What ring 3 may not do, tried: instructions of ring 0, the kernel's memory, memory of other processes, flags and places that confuse
 * an entry path. Each attempt runs in a thread of its own, which has to end by a fault; what has to be harmless is done here. */
#include "user/lib/atomic.h"
#include "user/lib/check.h"
#include "user/lib/cpu.h"
#include "user/lib/print.h"
#include "user/lib/start.h"
#include "user/lib/string.h"
#include "user/lib/thread.h"
#include "user/lib/workload.h"

/* ---- instructions ---- */

#define INSTRUCTIONS(X)                                                                                      \
    X(cli, "cli")                                                                                            \
    X(sti, "sti")                                                                                            \
    X(hlt, "hlt")                                                                                            \
    X(in, "mov $0x64, %%edx; in %%dx, %%al")                                                                 \
    X(out, "mov $0x80, %%edx; xor %%eax, %%eax; out %%al, %%dx")                                             \
    X(insb, "mov $0x64, %%edx; insb")                                                                        \
    X(rdmsr, "mov $0xc0000082, %%ecx; rdmsr")                                                                \
    X(wrmsr, "mov $0xc0000080, %%ecx; xor %%eax, %%eax; xor %%edx, %%edx; wrmsr")                            \
    X(rdpmc, "xor %%ecx, %%ecx; rdpmc")                                                                      \
    X(read_cr0, "mov %%cr0, %%rax")                                                                          \
    X(read_cr3, "mov %%cr3, %%rax")                                                                          \
    X(write_cr3, "xor %%eax, %%eax; mov %%rax, %%cr3")                                                       \
    X(write_cr4, "xor %%eax, %%eax; mov %%rax, %%cr4")                                                       \
    X(write_cr8, "xor %%eax, %%eax; mov %%rax, %%cr8")                                                       \
    X(write_dr7, "xor %%eax, %%eax; mov %%rax, %%dr7")                                                       \
    X(clts, "clts")                                                                                          \
    X(lgdt, "lgdt (%%rsp)")                                                                                  \
    X(lidt, "lidt (%%rsp)")                                                                                  \
    X(lldt, "xor %%eax, %%eax; lldt %%ax")                                                                   \
    X(ltr, "mov $0x28, %%eax; ltr %%ax")                                                                     \
    X(lmsw, "xor %%eax, %%eax; lmsw %%ax")                                                                   \
    X(invlpg, "invlpg (%%rsp)")                                                                              \
    X(swapgs, "swapgs")                                                                                      \
    X(sysretq, "sysretq")                                                                                    \
    X(sysenter, "sysenter")                                                                                  \
    X(sysexit, "sysexitl")                                                                                   \
    X(clac, "clac")                                                                                          \
    X(stac, "stac")                                                                                          \
    X(xsetbv, "xor %%ecx, %%ecx; mov $7, %%eax; xor %%edx, %%edx; xsetbv")                                   \
    X(monitor, "mov %%rsp, %%rax; xor %%ecx, %%ecx; xor %%edx, %%edx; monitor")                              \
    X(mwait, "xor %%eax, %%eax; xor %%ecx, %%ecx; mwait")                                                    \
    X(wrgsbase, "xor %%eax, %%eax; wrgsbase %%rax")                                                          \
    X(wrfsbase, "xor %%eax, %%eax; wrfsbase %%rax")                                                          \
    X(int_page_fault, "int $14")                                                                             \
    X(int_double_fault, "int $8")                                                                            \
    X(int_nmi, "int $2")                                                                                     \
    X(int_timer, ".byte 0xcd, 0x20")                                                                         \
    X(int_message, ".byte 0xcd, 0xf0")                                                                       \
    X(int_80, ".byte 0xcd, 0x80")                                                                            \
    X(int3, "int3")                                                                                          \
    X(int1, ".byte 0xf1")                                                                                    \
    X(divide, "xor %%ecx, %%ecx; xor %%edx, %%edx; div %%ecx")                                               \
    X(undefined, "ud2")                                                                                      \
    X(ring0_stack, "mov $0x10, %%eax; mov %%ax, %%ss")                                                       \
    X(ring0_data, "mov $0x10, %%eax; mov %%ax, %%ds")                                                        \
    X(task_gate, "pushq $0x28; pushq $0; lretq")                                                             \
    X(far_return, "pushq $0x08; lea 1f(%%rip), %%rax; push %%rax; lretq; 1:")                                \
    X(iret_to_ring0, "mov %%rsp, %%rcx; pushq $0x10; push %%rcx; pushq $2; pushq $0x08; lea 1f(%%rip), "     \
                     "%%rax; push %%rax; iretq; 1:")

#define DEFINE(name, text)                                                                                   \
    static void try_##name(u64 arg)                                                                          \
    {                                                                                                        \
        (void)arg;                                                                                           \
        __asm__ volatile(text ::: "rax", "rcx", "rdx", "r11", "memory");                                     \
    }
INSTRUCTIONS(DEFINE)

/* Of ring 0 too, but QEMU's TCG, which has no caches, lets anybody have them. */
#define CACHE_INSTRUCTIONS(X)                                                                                \
    X(invd, "invd")                                                                                          \
    X(wbinvd, "wbinvd")
CACHE_INSTRUCTIONS(DEFINE)

static bool is_tcg(void)
{
    u32 eax = 1, ebx, ecx, edx;
    __asm__("cpuid" : "+a"(eax), "=b"(ebx), "=c"(ecx), "=d"(edx));
    if (!(ecx >> 31)) /* "a hypervisor is there" */
        return false;
    eax = 0x40000000;
    __asm__("cpuid" : "+a"(eax), "=b"(ebx), "=c"(ecx), "=d"(edx));
    return ebx == 0x54474354 && ecx == 0x43544743; /* "TCGTCGTCGTCG" */
}

#define ENTRY(name, text) {#name, try_##name},
static const struct {
    const char *name;
    void (*fn)(u64 arg);
} instructions[] = {INSTRUCTIONS(ENTRY)}, cache_instructions[] = {CACHE_INSTRUCTIONS(ENTRY)};

/* ---- memory ---- */

/* The kernel's: its text, its data and stacks in the map of all memory, devices, ranges that come and go; and no canonical address. */
static const u64 kernel_address[] = {
    0xffffffff80100000, 0xffffffff80000000, 0xffff800000001000, 0xffff800000100000, 0xffffc00000000000,
    0xffffc08000000000, 0xfffffffffffff000, 0xffff800000000000, 0x0000800000000000, 0x8000000000000000,
    0x00007ffffffff000, 0x0000000000000000, 0x0000000000000ff8,
};

static void try_read(u64 va)
{
    touch_read(va);
}
static void try_write(u64 va)
{
    touch_write(va, 0);
}
static void try_locked(u64 va)
{
    atomic_fetch_add((u64 *)va, 1);
}
static void try_jump(u64 va)
{
    ((void (*)(void))va)();
}
static void try_prefetched(u64 va) /* which may not fault: then the read behind it does */
{
    __asm__ volatile("prefetcht0 (%0); prefetchw (%0); mov (%0), %%rax" ::"r"(va) : "rax", "memory");
}
/* The kernel's stack pointer in ring 3: the next push is a write there. */
static void try_stack(u64 va)
{
    __asm__ volatile("mov %0, %%rsp; push %%rax" ::"r"(va) : "memory");
}
static const u64 constant = 1;
static void try_write_text(u64 arg)
{
    (void)arg;
    touch_write((u64)try_read, 0);
}
static void try_write_constant(u64 arg)
{
    (void)arg;
    touch_write((u64)&constant, 0);
}
static void try_execute_stack(u64 arg)
{
    u8 code[16] = {0xc3}; /* ret */
    (void)arg;
    __asm__ volatile("" ::"r"(code) : "memory");
    ((void (*)(void))(u64)code)();
}
static void try_execute_data(u64 arg)
{
    static u8 code[16] = {0xc3};
    (void)arg;
    ((void (*)(void))(u64)code)();
}
static void
try_unmapped_entry(u64 va) /* the thread itself may begin where nothing is: the fault is its own */
{
    try_jump(va);
}

static void memory(void)
{
    static const struct {
        const char *name;
        void (*fn)(u64 va);
    } uses[] = {{"reading", try_read},
                {"writing", try_write},
                {"a locked operation on", try_locked},
                {"a jump to", try_jump},
                {"prefetching and reading", try_prefetched},
                {"pushing to", try_stack}};
    for (u32 i = 0; i < ARRAY_SIZE(kernel_address); i++)
        for (u32 j = 0; j < ARRAY_SIZE(uses); j++)
            check_faults(uses[j].fn, kernel_address[i], uses[j].name);
    check_faults(try_write_text, 0, "writing to the program's own text");
    check_faults(try_write_constant, 0, "writing to its constants");
    check_faults(try_execute_stack, 0, "executing its stack");
    check_faults(try_execute_data, 0, "executing its data");
    check_faults(try_unmapped_entry, 0x300000000000, "executing nothing");
}

/* ---- the edge of the user half ---- */

/* A page of code, at its place: written first, then executable, never both. */
static bool code_page(u64 va, u64 offset, const u8 *code, u64 bytes)
{
    s64 e = sys_map(va, SYS_PAGE, SYS_MAP_WRITE | SYS_MAP_FIXED);
    if (!check(e == (s64)va, "a page at %llx: %s", ULL(va), sys_error_name(e)))
        return false;
    memcpy((void *)(va + offset), code, bytes);
    e = sys_protect(va, SYS_PAGE, SYS_MAP_EXEC);
    return check(e == 0, "making it executable: %s", sys_error_name(e));
}

/* SYSCALL saves the address behind itself, and SYSRET to one that is not canonical faults in ring 0 on some processors: the last page
 * of the half is never mapped, so the last address that can follow a SYSCALL is canonical, and holds nothing. */
static void try_edge(u64 va)
{
    __asm__ volatile("jmp *%1" ::"a"(SYS_NULL), "r"(va) : "rcx", "r11", "memory");
}
static void edge(void)
{
    static const u8 syscall[] = {0x0f, 0x05};
    u64 page = SYS_USER_END - SYS_PAGE;
    s64 e = sys_map(SYS_USER_END, SYS_PAGE, SYS_MAP_WRITE | SYS_MAP_FIXED);
    check(e == -SYS_ERR_RANGE, "the last page of the half can be mapped: %s", sys_error_name(e));
    if (code_page(page, SYS_PAGE - sizeof(syscall), syscall, sizeof(syscall)))
        check_faults(try_edge, page + SYS_PAGE - sizeof(syscall), "a SYSCALL that ends where the half does");
    e = sys_unmap(page, SYS_PAGE);
    check(e == 0, "unmapping the last page: %s", sys_error_name(e));
}

/* ---- flags and segment registers that the entry paths must not trust ---- */

static s64 null_with_flags(u64 set)
{
    s64 result;
    __asm__ volatile("sub $128, %%rsp; pushfq; or %1, (%%rsp); popfq; syscall; cld; add $128, %%rsp"
                     : "=a"(result)
                     : "r"(set), "0"(SYS_NULL)
                     : "rcx", "r11", "memory", "cc");
    return result;
}

static void flags(void)
{
    static const struct {
        const char *name;
        u64 bit;
    } harmless[] = {
        {"direction", 1 << 10}, {"nested task", 1 << 14}, {"interrupts off", 0}, {"I/O privilege", 3 << 12}};
    for (u32 i = 0; i < ARRAY_SIZE(harmless); i++) {
        s64 e = null_with_flags(harmless[i].bit);
        check(e == 0, "a call with the flag of %s set: %lld", harmless[i].name, (long long)e);
    }
    u64 now;
    __asm__ volatile("pushfq; pop %0" : "=r"(now)::"memory");
    check((now & (1 << 9)) && !(now & (3 << 12)), "flags are %llx: interrupts must be on, I/O privilege 0",
          ULL(now));
    /* NT stays set until it is cleared: an IRET in ring 3 would fault. */
    __asm__ volatile("sub $128, %%rsp; pushfq; andl $~0x4000, (%%rsp); popfq; add $128, %%rsp" ::
                         : "memory", "cc");
}

static void try_single_step(u64 arg) /* the exception comes behind the POPFQ: in ring 3, whatever follows */
{
    (void)arg;
    null_with_flags(1 << 8);
}

/* Null and ring 3's own selectors may be loaded; the kernel's entry has its own GS base all the same. */
static void segments(void)
{
    __asm__ volatile("xor %%eax, %%eax; mov %%ax, %%gs; mov %%ax, %%fs; mov %%ax, %%ds; mov %%ax, %%es" ::
                         : "rax");
    s64 e = sys_null();
    check(e == 0, "a call with null selectors: %lld", (long long)e);
    u32 ss;
    __asm__ volatile("mov %%ss, %0; mov %0, %%gs; mov %0, %%ds; mov %0, %%es" : "=r"(ss));
    sys_thread_yield();
    e = sys_null();
    check(e == 0 && (ss & 3) == 3, "a call with GS loaded by ring 3 (SS %x): %lld", ss, (long long)e);
}

/* ---- other processes ---- */

static u64 secret = 1;

/* In a copy of this process: what it writes is its own. Tells what it has found, and ends. */
static s64 be_copy(u64 parent)
{
    struct sys_message m = {.thread = parent, .word = {secret}};
    secret = 2;
    m.word[1] = secret;
    sys_send(&m);
    sys_process_exit(0);
}

static void copies(void)
{
    struct thread copy;
    s64 e = thread_clone(&copy, be_copy, sys_thread_self(NULL), SYS_ANY_CPU);
    if (!check(e == 0, "no copy: %s", sys_error_name(e)))
        return;
    secret = 3; /* after the copy was made: it must not see this */
    struct sys_message m = {0};
    e = sys_receive(10000000000, &m);
    check(e == 0, "the copy says nothing: %s", sys_error_name(e));
    check(m.word[0] == 1, "the copy found %llu in its memory, which held 1 when it was made", ULL(m.word[0]));
    check(m.word[1] == 2, "the copy wrote 2 and read %llu", ULL(m.word[1]));
    check(touch_read((u64)&secret) == 3, "the copy's write came through to us: %llu", ULL(secret));
    s64 status = 0;
    e = sys_thread_join(copy.handle, &status);
    check(e == -SYS_ERR_PERM || e == -SYS_ERR_ABSENT, "another process's thread can be joined: %s",
          sys_error_name(e));
}

s64 program(u64 arg)
{
    check_begin(workload_of(arg));
    for (u32 i = 0; i < ARRAY_SIZE(instructions); i++)
        check_faults(instructions[i].fn, 0, instructions[i].name);
    for (u32 i = 0; i < ARRAY_SIZE(cache_instructions) && !is_tcg(); i++)
        check_faults(cache_instructions[i].fn, 0, cache_instructions[i].name);
    memory();
    edge();
    flags();
    check_faults(try_single_step, 0, "a single step into the kernel");
    segments();
    copies();
    return check_end();
}
