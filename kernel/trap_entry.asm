; Where the CPU enters the kernel: the stubs of all 256 vectors, and the paths that need one of their own.
;
; Enters: by the IDT (kernel/idt.c), 64-bit mode, interrupts off (all gates are interrupt gates). The CPU has aligned
;         RSP to 16, pushed SS, RSP, RFLAGS, CS, RIP and, for some exceptions, an error code (SDM volume 3A, section
;         6.14.2).
; Leaves: by IRETQ, with every register as it was. C functions get a pointer to struct trap_frame (kernel/trap.h) in
;         RDI.
; Calls:  trap_dispatch, nmi_handle, double_fault_handle, machine_check_handle, msg_drain; at each CALL RSP is aligned
;         to 16.
;
; GS. Kernel code always has the CPU's per-CPU block as GS base; ring 3 has its own, and the kernel's waits in
; IA32_KERNEL_GS_BASE. An interrupt from ring 3 (RPL in the saved CS) therefore begins and ends with SWAPGS. NMI,
; double fault and machine check cannot go by CS: they can hit the kernel in the few instructions between its entry
; from ring 3 and its SWAPGS. Their rule ("paranoid") looks at the base itself: the kernel's is in the upper half, so
; bit 63 of IA32_GS_BASE is set, and ring 3's is in the lower half, because CR4.FSGSBASE stays off (kernel/control.c)
; and the kernel refuses other values. RDMSR takes about 100 ticks, which only these three have to spend.
;
; Flags. Ring 3 sets DF and AC as it likes. DF is cleared wherever ring 3 can have
; been interrupted; the kernel itself never sets it. AC is cleared by CLAC where SMAP is in force: an interrupt inside
; a user-access section must not keep the section open for the handler. IRETQ restores both.
;
; A vector's frame pointer chain goes straight from the C handler to the interrupted function's caller, because RBP is
; left alone here; kernel/backtrace.c recognises the return addresses exported below and finds the interrupted RIP
; behind them.

%include "asm-offsets.inc"

MSR_GS_BASE    equ 0xc0000101
MSR_X2APIC_EOI equ 0x80b        ; as in apic/apic.h
APIC_REG_EOI   equ 0x0b0

global trap_stubs, trap_entry_message, trap_entry_raw
global trap_dispatch_return, trap_paranoid_return, trap_message_return, trap_message_user_return
global trap_clac_sites, trap_clac_sites_end
extern trap_dispatch, nmi_handle, double_fault_handle, machine_check_handle, msg_drain
extern percpu_head, trap_raw_count, trap_message_entered, trap_message_ticks, apic_is_x2apic, apic_mmio

%define irq_depth gs:percpu_head + PERCPU_IRQ_DEPTH
%define nmi_depth gs:percpu_head + PERCPU_NMI_DEPTH

; Three bytes of NOP that idt_use_clac (kernel/idt.c) turns into CLAC on all CPUs where SMAP is used.
%macro CLAC_SITE 0
%%site:
    db 0x0f, 0x1f, 0x00         ; NOP [RAX]
[section .rodata.clac_sites progbits alloc noexec nowrite align=8]
    dq %%site
__SECT__
%endmacro

; A call site of lib/patch.h: 5 bytes of NOP, or a jump to %2 while key %1 is on.
%macro PATCH_SITE 2
%%site:
    db 0x0f, 0x1f, 0x44, 0x00, 0x00
[section .patch_sites progbits alloc noexec nowrite align=8]
    dq %%site, %2, %1
__SECT__
%endmacro

; The time into RAX; RDX is lost too.
%macro READ_TSC 0
    rdtsc
    shl rdx, 32
    or rax, rdx
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

; The general registers in the order of struct trap_frame, r15 at the lowest address.
%macro PUSH_FRAME 0
    push rax
    push rbx
    push rcx
    push rdx
    push rsi
    push rdi
    push rbp
    push r8
    push r9
    push r10
    push r11
    push r12
    push r13
    push r14
    push r15
%endmacro
%macro POP_FRAME 0
    pop r15
    pop r14
    pop r13
    pop r12
    pop r11
    pop r10
    pop r9
    pop r8
    pop rbp
    pop rdi
    pop rsi
    pop rdx
    pop rcx
    pop rbx
    pop rax
    add rsp, 16                 ; vector, error code
%endmacro

section .rodata.clac_sites progbits alloc noexec nowrite align=8
trap_clac_sites:

section .text
bits 64
default rel

; The message vector, the hottest path of the kernel, has no frame and saves only what C does not. It sends no EOI:
; msg_drain does. From the kernel neither DF nor GS needs care.
    align 64
trap_entry_message:
    PATCH_SITE PATCH_TIMES, trap_message_stamp_entry
trap_message_stamped:
    test byte [rsp + 8], 3      ; RPL of the interrupted CS
    jnz trap_entry_message_ring3
    CLAC_SITE
    PUSH_CALLER_SAVED
    inc dword [irq_depth]
    call msg_drain
trap_message_return:
    dec dword [irq_depth]
    POP_CALLER_SAVED
    PATCH_SITE PATCH_TIMES, trap_message_stamp_exit
trap_message_leave:
    iretq
; What the interrupted code loses, for benchmarks: first instruction to IRETQ. Off, a NOP each. (Kernel responders
; only.)
trap_message_stamp_entry:
    push rax
    push rdx
    READ_TSC
    mov [gs:trap_message_entered], rax
    pop rdx
    pop rax
    jmp trap_message_stamped
trap_message_stamp_exit:
    push rax
    push rdx
    READ_TSC
    sub rax, [gs:trap_message_entered]
    mov [gs:trap_message_ticks], rax
    pop rdx
    pop rax
    jmp trap_message_leave
trap_entry_message_ring3:
    swapgs
    cld
    CLAC_SITE
    PUSH_CALLER_SAVED
    inc dword [irq_depth]
    call msg_drain
trap_message_user_return:
    dec dword [irq_depth]
    POP_CALLER_SAVED
    swapgs
    iretq

; The benchmarks' floor: what an interrupt costs that does nothing but count itself. The EOI comes after the count,
; which is what the sender waits for.
    align 64
trap_entry_raw:
    test byte [rsp + 8], 3
    jnz .from_ring3
    inc qword [gs:trap_raw_count]
    push rax
    cmp byte [apic_is_x2apic], 0
    je .xapic
    push rcx
    push rdx
    mov ecx, MSR_X2APIC_EOI
    xor eax, eax
    xor edx, edx
    wrmsr
    pop rdx
    pop rcx
    pop rax
    iretq
.xapic:
    mov rax, [apic_mmio]
    mov dword [rax + APIC_REG_EOI], 0
    pop rax
    iretq
.from_ring3:
    swapgs
    inc qword [gs:trap_raw_count]
    push rax
    push rcx
    push rdx
    cmp byte [apic_is_x2apic], 0
    je .xapic_ring3
    mov ecx, MSR_X2APIC_EOI
    xor eax, eax
    xor edx, edx
    wrmsr
    jmp .done_ring3
.xapic_ring3:
    mov rax, [apic_mmio]
    mov dword [rax + APIC_REG_EOI], 0
.done_ring3:
    pop rdx
    pop rcx
    pop rax
    swapgs
    iretq

; All other vectors. Every stub is padded to 16 bytes, so that the IDT is filled by arithmetic.
trap_common:
    cld
    PUSH_FRAME
    test byte [rsp + TRAP_FRAME_CS], 3
    jz .gs_is_ours
    swapgs
.gs_is_ours:
    CLAC_SITE
    inc dword [irq_depth]
    mov rdi, rsp
    call trap_dispatch
trap_dispatch_return:
    dec dword [irq_depth]
    test byte [rsp + TRAP_FRAME_CS], 3
    jz trap_leave
    swapgs
trap_leave:
    POP_FRAME
    iretq

; NMI, double fault, machine check: R12 = the handler. EBX tells whether GS was swapped; C keeps both (callee-saved).
; The stack is the CPU's own for this vector (IST), so a second one of the same kind must not come before the IRETQ at
; the end: see kernel/nmi.c for why it does not. The other two never return.
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
    inc dword [nmi_depth]
    mov rdi, rsp
    call r12
trap_paranoid_return:
    dec dword [nmi_depth]
    test ebx, ebx
    jz trap_paranoid_leave
    swapgs
trap_paranoid_leave:
    POP_FRAME
    iretq

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

; Exceptions that push an error code: 8, 10 to 14, 17, 21, 29, 30 (SDM volume 3A, table 6-1; AMD manual volume 2,
; table 8-1).
%define HAS_ERROR_CODE(v) ((v) == 8 || ((v) >= 10 && (v) <= 14) || (v) == 17 || (v) == 21 || (v) == 29 || (v) == 30)

    align 16
trap_stubs:
%assign v 0
%rep 256
    align 16
%if v == 2
    jmp nmi_entry_no_code
%elif v == 8
    jmp double_fault_entry
%elif v == 18
    jmp machine_check_entry_no_code
%else
  %if !HAS_ERROR_CODE(v)
    push 0
  %endif
    push v
    jmp trap_common
%endif
%assign v v + 1
%endrep
    align 16

section .rodata.clac_sites
trap_clac_sites_end:
