/* Exceptions and interrupts: GDT, TSS, IDT, IST stacks, entry stubs, dispatch. */
#pragma once

#include "lib/percpu.h"
#include "lib/table.h"
#include "lib/types.h"

/* What the entry stubs leave on the stack (kernel/trap_entry.asm; offsets by tools/asm-offsets). From ring 3 it is the top of
 * the thread's kernel stack, whole for all but the message and the raw vector. */
struct trap_frame {
    u64 r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax;
    u64 vector, error;
    u64 rip, cs, rflags, rsp, ss;
};

/* `vector` of the frame of a system call; its `error` is the call's number. */
#define TRAP_SYSCALL          256u

#define TRAP_ENTRY_STACK_SIZE 256u /* see kernel/gdt.h */

/* The exceptions that code names (SDM volume 3A, table 6-1). */
enum exception {
    EXC_DIVIDE_ERROR = 0,
    EXC_DEBUG = 1,
    EXC_BREAKPOINT = 3,
    EXC_INVALID_OPCODE = 6,
    EXC_DOUBLE_FAULT = 8,
    EXC_SEGMENT_NOT_PRESENT = 11,
    EXC_GENERAL_PROTECTION = 13,
    EXC_PAGE_FAULT = 14,
    EXC_MACHINE_CHECK = 18,
    EXC_COUNT = 32,
};

/* Page-fault error code (SDM volume 3A, figure 4-12). */
enum page_fault_error {
    PF_PRESENT = 1u << 0, /* the page is there, the access was not allowed; clear: it is not there */
    PF_WRITE = 1u << 1,
    PF_USER = 1u << 2,
    PF_RESERVED = 1u << 3, /* a reserved bit is set in a paging-structure entry */
    PF_FETCH = 1u << 4,
    PF_PROTECTION_KEY = 1u << 5,
    PF_SHADOW_STACK = 1u << 6,
};

/* Boot CPU, once, interrupts off: builds the IDT, checks the vector table, masks the 8259s, and loads all on this
 * CPU, with the boot stack still in use. Works before memory management; CPU 0's first IST stacks are static. */
void trap_init(void);
/* Each AP, before interrupts: GDT, TSS, IST stacks (guarded, given by the caller: tops), IDT. The per-CPU base is
 * set. */
struct trap_stacks {
    u64 nmi, double_fault, machine_check;
};
void trap_init_cpu(const struct trap_stacks *s);
/* The boot CPU's change from static to guarded IST stacks, after kmap_init and after its last percpu_set_base: GDT
 * and TSS lie in the per-CPU block. Interrupts off. */
void trap_use_stacks(const struct trap_stacks *s);

/* The stack on which ring 3 next enters the kernel on this CPU: its top, 16-byte aligned. At each switch of threads;
 * interrupts off. */
void trap_set_kernel_stack(u64 top);
/* This CPU's registers for SYSCALL. Part of trap_init_cpu. */
void syscall_init_cpu(void);

/* To ring 3, with all registers from *f, which lies at the top of the thread's kernel stack. RIP lies below SYS_USER_END, CS
 * and SS are ring 3's (kernel/gdt.h), RFLAGS has IF and nothing that ring 3 could not set itself: IRETQ must not fault, because
 * that would be an exception of the kernel with ring 3's GS. Runs user_return_work first if there is any. THREAD or IRQ-OFF. */
NORETURN void trap_user_enter(struct trap_frame *f);
/* The same for code that has RSP = f already: what the first switch to a new thread returns to. Not a C function. */
extern const char trap_user_start[];

/* What ring 3 raised, or a copy to or from its memory ran into; interrupts on, THREAD. address: CR2 of a page fault, else 0.
 * True: go on where it happened. False: cannot be helped; from ring 3 that must not be returned, the thread has ended.
 * kernel/user_fault.c places its function here; self tests put theirs in front. */
extern bool (*trap_user_fault_hook)(struct trap_frame *f, vaddr_t address);
static inline bool trap_is_user(const struct trap_frame *f)
{
    return (f->cs & 3) != 0;
}

/* Page-fault hook: returns true if the fault was explained and the access is to be retried. mm registers one. */
extern bool (*trap_page_fault_hook)(struct trap_frame *f, vaddr_t address);
/* Asked about each IRETQ to ring 3 that found its segment not present, on the debug exception's stack, NMI context: true: it is, try again.
 * For a test. */
extern bool (*trap_segment_hook)(struct trap_frame *f);

/* A vector's name as the manual has it ("page fault (#PF)"); for 32 and above "interrupt". */
const char *trap_name(u64 vector);

/* What a page fault was, in words: "write to a page that is not present, by the kernel, at ffff8000deadb000". */
void trap_describe_page_fault(char *out, size_t size, u64 error, vaddr_t address);

/* The exception-table fixup for f, if its instruction has one: then the interrupted code goes on at the fixup with
 * the vector in RAX. Any context but NMI (asserted), where only peek_user may fault (kernel/nmi.c). */
bool trap_fix(struct trap_frame *f);

/* NMI hooks, run in NMI context before the message drain; table entries. Return true if the NMI was theirs. Several
 * causes can arrive as one NMI, so all hooks are asked each time. A hook must not fault but in peek_user
 * (kernel/uaccess.h): any other exception inside an NMI is a panic. */
struct nmi_hook {
    bool (*fn)(struct trap_frame *f);
};
TABLE_DECLARE(nmi_hook, struct nmi_hook);
#define NMI_HOOK(ident, fn_) TABLE_ENTRY(nmi_hook, struct nmi_hook, ident) = {.fn = fn_}

/* Accesses that may fault: 0, or the vector that was raised. Through an exception table (tests expect #GP and #PF). */
int safe_read_u64(const void *p, u64 *out);
int safe_write_u64(void *p, u64 v);
int safe_call(u64 (*fn)(void),
              u64 *out); /* calls code that may not be there: an instruction-fetch #PF returns 14 */
int safe_rdmsr(u32 msr, u64 *out);
int safe_wrmsr(u32 msr, u64 v);
int safe_mwait(
    u32 extensions); /* without a MONITOR before it, so that it does not sleep (SDM volume 2, MWAIT) */

/* What the message interrupt does, for an idle CPU that has seen in its inbox that a message is there. IRQ-OFF; need not return: the
 * drain may find that the CPU has something else to go on with. */
void trap_message_by_store(void);

/* Interrupts that the raw vector has counted on this CPU (benchmark floor): one INC in a stub of its own. */
DECLARE_PERCPU(u64, trap_raw_count);

/* While PATCH_TIMES is on: what the last message interrupt took from the code that it interrupted on this CPU, from
 * its first instruction to its IRET, TSC ticks. */
DECLARE_PERCPU(u64, trap_message_entered);
DECLARE_PERCPU(u64, trap_message_ticks);
