; SYSCALL: the way from ring 3 into the kernel and back.
;
; Enters: from ring 3 by SYSCALL, number in RAX, arguments in RDI RSI RDX R10 R8 R9. The CPU has put RIP into RCX and
;         RFLAGS into R11, loaded CS and SS from IA32_STAR, and cleared in RFLAGS what IA32_FMASK names
;         (kernel/syscall_init.c): interrupts are off, DF, AC, TF and NT clear. It has not changed RSP nor GS (SDM volume
;         2, SYSCALL).
; Leaves: by SYSRETQ, every register from the frame; RCX and R11 hold RIP and RFLAGS. With USER_WORK_BARRED set: by IRETQ, all registers
;         from the frame.
; Calls:  syscall_dispatch(struct trap_frame *) on the thread's kernel stack, with a whole struct trap_frame: vector
;         TRAP_SYSCALL, error = the number. It returns with interrupts off. RSP is aligned to 16 at each CALL.
;
; SYSRETQ with a RIP that is not canonical raises #GP in ring 0 with ring 3's RSP already loaded, on Intel CPUs (SDM
; volume 2, SYSRET): whoever chose that RSP would choose what the kernel overwrites. It cannot happen. RIP here is only
; ever what SYSCALL itself saved, the address behind it, and nobody changes it in such a frame: new threads and
; faults go by IRETQ. An instruction of ring 3 ends at SYS_USER_END at most, because the last page of the user half
; is never mapped; so that address is below 2^47. tests/ring3_entry.c executes a SYSCALL there.
;
; In the two instructions before the stack is the kernel's, nothing but an NMI, a double fault or a machine check can
; come, and these have stacks of their own. (A debug exception has too: kernel/gdt.h.)

%include "kernel/entry.inc"

global syscall_entry, syscall_entry_switch, syscall_dispatch_return, syscall_leave
global syscall_pti_enter, syscall_pti_leave, syscall_pti_left ; places where a test wants NMIs (tests/nmi_entry.c)
extern syscall_dispatch, user_return_work, trap_entry_stack, trap_user_worked

USER_DATA equ 0x18 | 3          ; as in kernel/gdt.h
USER_CODE equ 0x20 | 3

section .text.entry progbits alloc exec nowrite align=64
bits 64
default rel

    align 64
syscall_entry:
    swapgs
    mov [percpu(PERCPU_SCRATCH)], rsp
    PATCH_SITE PATCH_PTI, syscall_pti_enter
syscall_entry_switch:
    mov rsp, [percpu(PERCPU_KERNEL_STACK)]
    push USER_DATA
    push qword [percpu(PERCPU_SCRATCH)]
    push r11
    push USER_CODE
    push rcx
    push rax
    push TRAP_SYSCALL
    PUSH_FRAME
    mov rdi, rsp
    call syscall_dispatch
syscall_dispatch_return:
    cmp dword [percpu(PERCPU_USER_WORK)], 0
    jne syscall_work
syscall_restore:
    POP_REGISTERS
    mov rcx, [rsp + TRAP_FRAME_RIP - TRAP_FRAME_VECTOR]
    mov r11, [rsp + TRAP_FRAME_RFLAGS - TRAP_FRAME_VECTOR]
    mov rsp, [rsp + TRAP_FRAME_RSP - TRAP_FRAME_VECTOR]
    PATCH_SITE PATCH_PTI, syscall_pti_leave
syscall_leave:
    swapgs
    o64 sysret
; Where ring 3 is barred although no work is left, somebody has forgotten what bars it: out by IRETQ, which faults.
syscall_work:
    call user_return_work
    cmp dword [percpu(PERCPU_USER_WORK)], 0
    je syscall_restore
    jmp trap_user_worked

; RSP is free: ring 3's waits in the scratch word.
syscall_pti_enter:
    mov rsp, [percpu(PERCPU_KERNEL_CR3)]
    mov cr3, rsp
    mov rsp, [percpu(PERCPU_KERNEL_STACK)]
    PATCH_CALL PATCH_COST_CR3, cost_spend_cr3
    jmp syscall_entry_switch
; The flags of ring 3 come from R11. The entry stack is on ring 3's root too, and nobody uses it now: interrupts are off.
syscall_pti_leave:
    mov [percpu(PERCPU_SCRATCH)], rsp
    mov rsp, [percpu(PERCPU_SELF)]
    add rsp, trap_entry_stack + TRAP_ENTRY_STACK_SIZE
    push rax
    LOAD_USER_CR3 rax, syscall_root
    pop rax
syscall_pti_left:
    mov rsp, [percpu(PERCPU_SCRATCH)]
    jmp syscall_leave
LOAD_USER_CR3_REST rax, syscall_root
