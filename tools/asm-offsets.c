/* What assembly has to know about C structs. Compiled to text only (-S): tools/asm-offsets turns each string that begins
 * with "->" into a NASM %define, so no offset is ever written by hand. (.ascii, because clang reads its own assembly.)
 *
 *   struct ap_params.page  ->  AP_PARAMS_PAGE,  its size  ->  AP_PARAMS_SIZE */
#include "kernel/gdt.h"
#include "kernel/thread_internal.h"
#include "kernel/trap.h"
#include "lib/ap_params.h"
#include "lib/cost.h"
#include "lib/patch.h"
#include "lib/percpu.h"
#include "mm/isolation.h"

#define DEFINE(name, value)   __asm__ volatile("\n.ascii \"->" #name " %c0\"" ::"i"(value))
#define SIZE(name, type)      DEFINE(name##_SIZE, sizeof(type))
#define OFFSET(name, type, m) DEFINE(name, offsetof(type, m))

void asm_offsets(void);
void asm_offsets(void)
{
    OFFSET(PERCPU_SELF, struct percpu_head, self);
    OFFSET(PERCPU_KERNEL_STACK, struct percpu_head, kernel_stack);
    OFFSET(PERCPU_SCRATCH, struct percpu_head, scratch);
    OFFSET(PERCPU_CPU, struct percpu_head, cpu);
    OFFSET(PERCPU_APIC_ID, struct percpu_head, apic_id);
    OFFSET(PERCPU_IRQ_DEPTH, struct percpu_head, irq_depth);
    OFFSET(PERCPU_NMI_DEPTH, struct percpu_head, nmi_depth);
    OFFSET(PERCPU_PREEMPT_DEPTH, struct percpu_head, preempt_depth);

    OFFSET(PERCPU_USER_WORK, struct percpu_head, user_work);
    OFFSET(PERCPU_KERNEL_CR3, struct percpu_head, kernel_cr3);
    OFFSET(PERCPU_USER_CR3, struct percpu_head, user_cr3);
    OFFSET(ISOLATION_RANGE_NEXT, struct isolation_range, next);
    OFFSET(ISOLATION_RANGE_END, struct isolation_range, end);
    OFFSET(ISOLATION_RANGE_STEP, struct isolation_range, step);

    OFFSET(THREAD_AWAITED_WHAT, struct thread_awaited, what);
    OFFSET(THREAD_AWAITED_FRAME, struct thread_awaited, frame);
    DEFINE(THREAD_RESUMES, THREAD_RESUMES);

    OFFSET(AP_PARAMS_PAGE, struct ap_params, page);
    OFFSET(AP_PARAMS_TEMP_CR3, struct ap_params, temp_cr3);
    OFFSET(AP_PARAMS_FINAL_CR3, struct ap_params, final_cr3);
    OFFSET(AP_PARAMS_EFER, struct ap_params, efer);
    OFFSET(AP_PARAMS_CR0, struct ap_params, cr0);
    OFFSET(AP_PARAMS_CR4, struct ap_params, cr4);
    OFFSET(AP_PARAMS_SLOTS, struct ap_params, slots);
    OFFSET(AP_PARAMS_SLOT_COUNT, struct ap_params, slot_count);
    OFFSET(AP_PARAMS_ENTRY, struct ap_params, entry);
    OFFSET(AP_PARAMS_XAPIC_ID, struct ap_params, xapic_id);
    OFFSET(AP_PARAMS_XAPIC_BASE, struct ap_params, xapic_base);
    OFFSET(AP_PARAMS_ARRIVED, struct ap_params, arrived);
    OFFSET(AP_PARAMS_UNKNOWN, struct ap_params, unknown);
    SIZE(AP_PARAMS, struct ap_params);

    OFFSET(AP_SLOT_APIC_ID, struct ap_slot, apic_id);
    OFFSET(AP_SLOT_CLAIMED, struct ap_slot, claimed);
    OFFSET(AP_SLOT_STACK, struct ap_slot, stack);
    OFFSET(AP_SLOT_CPU, struct ap_slot, cpu);
    SIZE(AP_SLOT, struct ap_slot);

    OFFSET(TRAP_FRAME_R15, struct trap_frame, r15);
    OFFSET(TRAP_FRAME_R14, struct trap_frame, r14);
    OFFSET(TRAP_FRAME_R13, struct trap_frame, r13);
    OFFSET(TRAP_FRAME_R12, struct trap_frame, r12);
    OFFSET(TRAP_FRAME_R11, struct trap_frame, r11);
    OFFSET(TRAP_FRAME_R10, struct trap_frame, r10);
    OFFSET(TRAP_FRAME_R9, struct trap_frame, r9);
    OFFSET(TRAP_FRAME_R8, struct trap_frame, r8);
    OFFSET(TRAP_FRAME_RBP, struct trap_frame, rbp);
    OFFSET(TRAP_FRAME_RDI, struct trap_frame, rdi);
    OFFSET(TRAP_FRAME_RSI, struct trap_frame, rsi);
    OFFSET(TRAP_FRAME_RDX, struct trap_frame, rdx);
    OFFSET(TRAP_FRAME_RCX, struct trap_frame, rcx);
    OFFSET(TRAP_FRAME_RBX, struct trap_frame, rbx);
    OFFSET(TRAP_FRAME_RAX, struct trap_frame, rax);
    OFFSET(TRAP_FRAME_VECTOR, struct trap_frame, vector);
    OFFSET(TRAP_FRAME_ERROR, struct trap_frame, error);
    OFFSET(TRAP_FRAME_RIP, struct trap_frame, rip);
    OFFSET(TRAP_FRAME_CS, struct trap_frame, cs);
    OFFSET(TRAP_FRAME_RFLAGS, struct trap_frame, rflags);
    OFFSET(TRAP_FRAME_RSP, struct trap_frame, rsp);
    OFFSET(TRAP_FRAME_SS, struct trap_frame, ss);
    SIZE(TRAP_FRAME, struct trap_frame);

    DEFINE(TRAP_SYSCALL, TRAP_SYSCALL);
    DEFINE(TRAP_ENTRY_STACK_SIZE, TRAP_ENTRY_STACK_SIZE);

    DEFINE(SEL_KERNEL_CODE, SEL_KERNEL_CODE);
    DEFINE(SEL_KERNEL_DATA, SEL_KERNEL_DATA);

    DEFINE(PATCH_TIMES, PATCH_TIMES);
    DEFINE(PATCH_PTI, PATCH_PTI);
    DEFINE(PATCH_COST_CR3, PATCH_COST_CR3);
    DEFINE(PATCH_COST_INVLPG, PATCH_COST_INVLPG);
    DEFINE(PATCH_COST_ENTRY, PATCH_COST_ENTRY);
    DEFINE(PATCH_COST_WIRE, PATCH_COST_WIRE);
    DEFINE(PATCH_SITE_CALL, PATCH_SITE_CALL);

    DEFINE(COST_INVLPG, COST_INVLPG);
    DEFINE(COST_CR3, COST_CR3);
    DEFINE(COST_INVPCID, COST_INVPCID);
    DEFINE(COST_ENTRY, COST_ENTRY);
    DEFINE(COST_ICR, COST_ICR);
    DEFINE(COST_LINE, COST_LINE);
    DEFINE(COST_WIRE, COST_WIRE);
}
