; Where the CPU enters the kernel: the stubs of all 256 vectors, and the paths that need one of their own. System calls:
; kernel/syscall_entry.asm.
;
; Enters: by the IDT (kernel/idt.c), 64-bit mode, interrupts off (all gates are interrupt gates). From ring 3 on the stack
;         of TSS.RSP0, the thread's; from ring 0 on the interrupted one, aligned to 16. The CPU has pushed SS, RSP, RFLAGS,
;         CS, RIP and, for some exceptions, an error code (SDM volume 3A, section 6.14.2).
; Leaves: by IRETQ, with every register as it was. C functions get a pointer to struct trap_frame (kernel/trap.h) in
;         RDI.
; Calls:  exception_handle, segment_missing_in_kernel, trap_interrupt, nmi_handle, double_fault_handle, machine_check_handle,
;         debug_in_kernel, msg_drain, user_return_work; at each CALL RSP is aligned to 16.
;
; Context. An interrupt raises irq_depth, an exception does not: it runs in the context of what it interrupted, so that the page-fault
; handler of ring 3, and of a copy to or from ring 3, can turn interrupts on and wait.
;
; GS. Kernel code always has the CPU's per-CPU block as GS base; ring 3 has its own, and the kernel's waits in IA32_KERNEL_GS_BASE. An
; entry from ring 3 (RPL in the saved CS) therefore begins and ends with SWAPGS. NMI, double fault and machine check cannot go by CS:
; they can hit the kernel in the few instructions between its entry from ring 3 and its SWAPGS, and #NP between that of the way out and
; IRETQ. Their rule ("paranoid") looks at the base itself: the kernel's is in the upper half, so bit 63 of IA32_GS_BASE is set, and ring
; 3's is in the lower half, because CR4.FSGSBASE stays off (kernel/control.c) and a selector that ring 3 loads has base 0. RDMSR takes
; about 100 ticks, which only these have to spend. Likewise for CR3: what they find there they leave there.
;
; Flags. Ring 3 sets DF, AC, TF and NT as it likes. A gate clears TF and NT (SDM volume 3A, section 6.12.1.3). DF is cleared wherever ring
; 3 can have been interrupted; the kernel itself never sets it. AC is cleared by CLAC where SMAP is in force: an interrupt inside a
; user-access section must not keep the section open for the handler. IRETQ restores all.
;
; A vector's frame pointer chain goes straight from the C handler to the interrupted function's caller, because RBP is left alone here;
; kernel/backtrace.c recognises the return addresses exported below and finds the interrupted RIP behind them.

%include "kernel/entry.inc"

MSR_GS_BASE    equ 0xc0000101
MSR_X2APIC_EOI equ 0x80b        ; as in apic/apic.h
APIC_REG_EOI   equ 0x0b0
VECTOR_DEBUG   equ 1
VECTOR_SEGMENT equ 11           ; #NP

global trap_stubs, trap_entry_message, trap_message_by_store, trap_entry_raw, trap_user_enter, trap_user_start
global trap_interrupt_return, trap_exception_return, trap_paranoid_return, trap_message_return
global trap_message_user_return, trap_user_worked, trap_user_leave
global trap_message_pti_enter, trap_pti_leave, trap_pti_left
global trap_entry_message_ring3, trap_message_user_leave ; places where a test wants NMIs (tests/nmi_entry.c)
extern exception_handle, trap_interrupt, nmi_handle, double_fault_handle, machine_check_handle, debug_in_kernel
extern segment_missing_in_kernel, shootdown_user_closed
extern msg_drain, user_return_work, thread_resumed, thread_awaited, syscall_dispatch_return
extern trap_raw_count, trap_message_entered, trap_message_ticks, apic_is_x2apic, apic_mmio, trap_entry_stack
extern trap_paranoid_cr3

%define irq_depth percpu(PERCPU_IRQ_DEPTH)
%define nmi_depth percpu(PERCPU_NMI_DEPTH)

; The time into RAX; RDX is lost too.
%macro READ_TSC 0
    rdtsc
    shl rdx, 32
    or rax, rdx
%endmacro

%macro STAMP_ENTRY 0
    push rax
    push rdx
    READ_TSC
    mov [gs:trap_message_entered], rax
    pop rdx
    pop rax
%endmacro
%macro STAMP_EXIT 0
    push rax
    push rdx
    READ_TSC
    sub rax, [gs:trap_message_entered]
    mov [gs:trap_message_ticks], rax
    pop rdx
    pop rax
%endmacro

%macro PUSH_CALLER_SAVED 0
    push rax
    push rcx
    push rdx
    push rsi
    push rdi
    push r8
    push r9
    push r10
    push r11
%endmacro
%macro POP_CALLER_SAVED 0
    pop r11
    pop r10
    pop r9
    pop r8
    pop rdi
    pop rsi
    pop rdx
    pop rcx
    pop rax
%endmacro
%macro POP_FRAME 0
    POP_REGISTERS
    add rsp, 16                 ; vector, error code
%endmacro

; Ends the interrupt in service. RAX, RCX and RDX are lost.
%macro SEND_EOI 0
    cmp byte [apic_is_x2apic], 0
    je %%xapic
    mov ecx, MSR_X2APIC_EOI
    xor eax, eax
    xor edx, edx
    wrmsr
    jmp %%sent
%%xapic:
    mov rax, [apic_mmio]
    mov dword [rax + APIC_REG_EOI], 0
%%sent:
%endmacro

section .text.entry progbits alloc exec nowrite align=64
bits 64
default rel

; ---- the message vector ----

; The hottest path of the kernel has no frame and saves only what C does not. It sends no EOI: msg_drain does. From the
; kernel neither DF nor GS needs care. While PATCH_TIMES is on, what the interrupted code loses is measured: from here,
; behind SWAPGS for ring 3, to IRETQ. Off, a NOP each.
    align 64
trap_entry_message:
    test byte [rsp + 8], 3      ; RPL of the interrupted CS
    jnz trap_entry_message_ring3
    PATCH_CALL PATCH_COST_WIRE, cost_spend_wire ; before the stamp: on the way, nobody's time
    PATCH_SITE PATCH_TIMES, trap_message_stamp_entry
trap_message_stamped:
    PATCH_CALL PATCH_COST_ENTRY, cost_spend_entry
trap_message_entered_kernel:
    CLAC_SITE
    PUSH_CALLER_SAVED
    inc dword [irq_depth]
    call msg_drain
trap_message_return:
    dec dword [irq_depth]
    cmp dword [gs:thread_awaited + THREAD_AWAITED_WHAT], THREAD_RESUMES
    je trap_message_resume
    POP_CALLER_SAVED
    PATCH_SITE PATCH_TIMES, trap_message_stamp_exit
trap_message_leave:
    iretq

; From ring 3 too: user_return_work may go on with another thread, but that keeps what C keeps.
trap_entry_message_ring3:
    swapgs
    PATCH_SITE PATCH_PTI, trap_message_pti_enter
trap_message_user:
    PATCH_CALL PATCH_COST_WIRE, cost_spend_wire
    PATCH_SITE PATCH_TIMES, trap_message_user_stamp_entry
trap_message_user_stamped:
    PATCH_CALL PATCH_COST_ENTRY, cost_spend_entry
    cld
    CLAC_SITE
    PUSH_CALLER_SAVED
    inc dword [irq_depth]
    call msg_drain
trap_message_user_return:
    dec dword [irq_depth]
    cmp dword [percpu(PERCPU_USER_WORK)], 0
    jne trap_message_user_work
trap_message_user_worked:
    POP_CALLER_SAVED
    PATCH_SITE PATCH_TIMES, trap_message_user_stamp_exit
trap_message_user_leave:
    PATCH_SITE PATCH_PTI, trap_pti_leave
    swapgs
    iretq

; A thread that waited for nothing but the message has been given it (kernel/thread_internal.h): what it and this interrupt have on the
; stack is not needed any more. The CPU's own state is that of a system call which is about to return.
trap_message_resume:
    mov rsp, [gs:thread_awaited + THREAD_AWAITED_FRAME]
    mov dword [gs:thread_awaited + THREAD_AWAITED_WHAT], 0
    call thread_resumed
    jmp syscall_dispatch_return
trap_message_user_work:
    call user_return_work
    jmp trap_message_user_worked
trap_message_stamp_entry:
    STAMP_ENTRY
    jmp trap_message_stamped

; void trap_message_by_store(void): the same for an idle CPU that has seen its message, interrupts off. There was no interrupt, so none is
; charged; the frame is the one that it would have pushed, with the return address as RIP. msg_drain's EOI ends nothing then.
trap_message_by_store:
    pop rdx
    mov rax, rsp
    and rsp, -16
    push SEL_KERNEL_DATA
    push rax
    pushfq
    push SEL_KERNEL_CODE
    push rdx
    PATCH_SITE PATCH_TIMES, trap_message_by_store_stamp
    jmp trap_message_entered_kernel
trap_message_by_store_stamp:
    STAMP_ENTRY
    jmp trap_message_entered_kernel
trap_message_stamp_exit:
    STAMP_EXIT
    jmp trap_message_leave
trap_message_user_stamp_entry:
    STAMP_ENTRY
    jmp trap_message_user_stamped
trap_message_user_stamp_exit:
    STAMP_EXIT
    jmp trap_message_user_leave
trap_message_pti_enter:
    LOAD_KERNEL_CR3
    MOVE_TO_THREAD_STACK 5      ; RIP, CS, RFLAGS, RSP, SS
    jmp trap_message_user

; ---- the raw vector ----

; The benchmarks' floor: what an interrupt costs that does nothing but count itself. The EOI comes after the count,
; which is what the sender waits for.
    align 64
trap_entry_raw:
    test byte [rsp + 8], 3
    jnz trap_entry_raw_ring3
    PATCH_CALL PATCH_COST_WIRE, cost_spend_wire
    PATCH_CALL PATCH_COST_ENTRY, cost_spend_entry
    inc qword [gs:trap_raw_count]
    push rax
    push rcx
    push rdx
    SEND_EOI
    pop rdx
    pop rcx
    pop rax
    iretq
trap_entry_raw_ring3:
    swapgs
    PATCH_SITE PATCH_PTI, trap_raw_pti_enter
trap_raw_user:
    PATCH_CALL PATCH_COST_WIRE, cost_spend_wire
    PATCH_CALL PATCH_COST_ENTRY, cost_spend_entry
    inc qword [gs:trap_raw_count]
    push rax
    push rcx
    push rdx
    SEND_EOI
    pop rdx
    pop rcx
    pop rax
    PATCH_SITE PATCH_PTI, trap_pti_leave
    swapgs
    iretq
trap_raw_pti_enter:
    LOAD_KERNEL_CR3
    MOVE_TO_THREAD_STACK 5
    jmp trap_raw_user

; ---- all other vectors ----

trap_interrupt_common:
    cld
    test byte [rsp + TRAP_FRAME_CS - TRAP_FRAME_VECTOR], 3
    jz trap_interrupt_entered
    swapgs
    PATCH_SITE PATCH_PTI, trap_interrupt_pti_enter
trap_interrupt_entered:
    PUSH_FRAME
    CLAC_SITE
    PATCH_CALL PATCH_COST_ENTRY, cost_spend_entry
    inc dword [irq_depth]
    mov rdi, rsp
    call trap_interrupt
trap_interrupt_return:
    dec dword [irq_depth]
    test byte [rsp + TRAP_FRAME_CS], 3
    jnz trap_return_user
    POP_FRAME
    iretq
trap_interrupt_pti_enter:
    LOAD_KERNEL_CR3
    MOVE_TO_THREAD_STACK 7      ; the vector and the error code too
    jmp trap_interrupt_entered

trap_exception_common:
    cld
    test byte [rsp + TRAP_FRAME_CS - TRAP_FRAME_VECTOR], 3
    jz trap_exception_entered
    swapgs
    PATCH_SITE PATCH_PTI, trap_exception_pti_enter
trap_exception_entered:
    PUSH_FRAME
    CLAC_SITE
    mov rdi, rsp
    call exception_handle
trap_exception_return:
    test byte [rsp + TRAP_FRAME_CS], 3
    jnz trap_return_user
    cmp dword [nmi_depth], 0
    jne trap_return_without_iret
    POP_FRAME
    iretq
trap_exception_pti_enter:
    LOAD_KERNEL_CR3
    MOVE_TO_THREAD_STACK 7
    jmp trap_exception_entered

; void trap_user_enter(struct trap_frame *f), noreturn: to ring 3 with all registers from *f, which becomes the top of the
; stack. trap_user_start: the same, *f being the top already: where the switch to a new thread returns to.
trap_user_enter:
    mov rsp, rdi
trap_user_start:
    cli
; RSP = struct trap_frame of ring 3, interrupts off.
trap_return_user:
    cmp dword [percpu(PERCPU_USER_WORK)], 0
    jne trap_user_work
trap_user_worked:
    mov byte [gs:shootdown_user_closed], 1 ; nothing is left undone, and ring 3's next entry touches no user memory unasked
    POP_FRAME
    PATCH_SITE PATCH_PTI, trap_pti_leave
trap_user_leave:
    swapgs
    iretq
trap_user_work:
    call user_return_work
    jmp trap_user_worked

; The CPU's frame goes to the entry stack, which ring 3's root maps too.
trap_pti_leave:
    push rax
    push rbx
    mov rax, [percpu(PERCPU_SELF)]
    add rax, trap_entry_stack + TRAP_ENTRY_STACK_SIZE
%assign i 0
%rep 5
    mov rbx, [rsp + 16 + 8 * i]
    mov [rax - 40 + 8 * i], rbx
%assign i i + 1
%endrep
    mov rbx, [rsp + 8]
    mov [rax - 48], rbx         ; RAX itself, below them
    pop rbx
    lea rsp, [rax - 48]
    LOAD_USER_CR3 rax, trap_root
trap_pti_left:
    pop rax
    swapgs
    iretq
LOAD_USER_CR3_REST rax, trap_root

; From an exception inside an NMI handler (kernel/nmi.c: reads of user memory only): IRETQ would let the next NMI in. So
; RIP and RFLAGS are put below what the interrupted code has on its stack, the red zone being off, and POPFQ and RET do
; the rest. That may overwrite this frame's SS and RSP, which have been read by then, but nothing below them.
trap_return_without_iret:
    mov rdx, [rsp + TRAP_FRAME_RSP]
    mov rax, [rsp + TRAP_FRAME_RIP]
    mov rcx, [rsp + TRAP_FRAME_RFLAGS]
    mov [rdx - 8], rax
    mov [rdx - 16], rcx
    sub rdx, 16
    mov [rsp + TRAP_FRAME_ERROR], rdx
    POP_REGISTERS
    add rsp, 8                  ; vector
    pop rsp                     ; from the slot of the error code
    popfq
    ret

; ---- NMI, double fault, machine check; debug exceptions and #NP in the kernel ----

; R12 = the handler. EBX tells whether GS was swapped, R13D whether ring 3's root was loaded; C keeps all three
; (callee-saved). The stack is the CPU's own for this vector (IST), so a second one of the same kind must not come before
; the IRETQ at the end: see kernel/nmi.c for why it does not. Double faults and machine checks never return.
;
; CR3 is ring 3's only between LOAD_USER_CR3 and the next entry's LOAD_KERNEL_CR3; then user_cr3 is what was loaded, and
; is what is loaded again. Any other root has the whole kernel in it and stays. Without page-table isolation user_cr3 is
; 0, which CR3 never is.
trap_paranoid:
    xor ebx, ebx
    mov ecx, MSR_GS_BASE
    rdmsr
    test edx, edx
    js .gs_is_ours
    swapgs
    inc ebx
.gs_is_ours:
    CLAC_SITE
    xor r13d, r13d
    mov rax, [percpu(PERCPU_USER_CR3)]
    btr rax, CR3_KEEP_ENTRIES
    mov rcx, cr3
    cmp rax, rcx
    jne .cr3_is_ours
    mov rax, [percpu(PERCPU_KERNEL_CR3)]
    mov cr3, rax
    inc r13d
.cr3_is_ours:
    mov [gs:trap_paranoid_cr3], rcx
    inc dword [nmi_depth]
    mov rdi, rsp
    call r12
trap_paranoid_return:
    dec dword [nmi_depth]
    test r13d, r13d
    jz trap_paranoid_cr3_is_as_before
    LOAD_USER_CR3 rax, trap_paranoid_root
trap_paranoid_cr3_is_as_before:
    test ebx, ebx
    jz trap_paranoid_gs_is_as_before
    swapgs
trap_paranoid_gs_is_as_before:
    POP_FRAME
    iretq
LOAD_USER_CR3_REST rax, trap_paranoid_root

%macro PARANOID_ENTRY 3         ; name, vector, handler
%1:
    push %2
    cld
    PUSH_FRAME
    mov r12, %3
    jmp trap_paranoid
%endmacro

nmi_entry_no_code:
    push 0
PARANOID_ENTRY nmi_entry, 2, nmi_handle
PARANOID_ENTRY double_fault_entry, 8, double_fault_handle ; its error code, always 0, is there
machine_check_entry_no_code:
    push 0
PARANOID_ENTRY machine_check_entry, 18, machine_check_handle

; A debug exception (its stack: kernel/gdt.h) from ring 3 is an exception like others, on the thread's stack; in the
; kernel it can stand before SWAPGS: paranoid.
debug_entry_no_code:
    push 0
    test byte [rsp + TRAP_FRAME_CS - TRAP_FRAME_ERROR], 3
    jnz debug_entry_ring3
PARANOID_ENTRY debug_entry, VECTOR_DEBUG, debug_in_kernel
debug_entry_ring3:
    push VECTOR_DEBUG
ist_entry_ring3:
    cld
    swapgs
    PATCH_SITE PATCH_PTI, ist_pti_enter
ist_move:
    MOVE_TO_THREAD_STACK 7
    jmp trap_exception_entered
ist_pti_enter:
    LOAD_KERNEL_CR3
    jmp ist_move

; An IRETQ to ring 3 that finds the segment not present (mm/shootdown/promise.c) stands behind SWAPGS and the load of ring 3's root.
segment_entry_any:
    test byte [rsp + TRAP_FRAME_CS - TRAP_FRAME_ERROR], 3
    jnz segment_entry_ring3
PARANOID_ENTRY segment_entry, VECTOR_SEGMENT, segment_missing_in_kernel
segment_entry_ring3:
    push VECTOR_SEGMENT
    jmp ist_entry_ring3

; Every stub is padded to 16 bytes, so that the IDT is filled by arithmetic. Exceptions that push an error code: 8, 10 to
; 14, 17, 21, 29, 30 (SDM volume 3A, table 6-1; AMD manual volume 2, table 8-1).
%define HAS_ERROR_CODE(v) ((v) == 8 || ((v) >= 10 && (v) <= 14) || (v) == 17 || (v) == 21 || (v) == 29 || (v) == 30)

    align 16
trap_stubs:
%assign v 0
%rep 256
    align 16
%if v == VECTOR_DEBUG
    jmp debug_entry_no_code
%elif v == 2
    jmp nmi_entry_no_code
%elif v == 8
    jmp double_fault_entry
%elif v == VECTOR_SEGMENT
    jmp segment_entry_any
%elif v == 18
    jmp machine_check_entry_no_code
%else
  %if !HAS_ERROR_CODE(v)
    push 0
  %endif
    push v
  %if v < 32
    jmp trap_exception_common
  %else
    jmp trap_interrupt_common
  %endif
%endif
%assign v v + 1
%endrep
    align 16
