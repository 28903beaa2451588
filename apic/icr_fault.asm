; What the patched sites of lib/x86/fence.h call in place of WRMSR, when interrupt commands are to go wrong.
;
; Enters: in any context, as WRMSR would be: ECX the ICR's MSR, EDX the destination, EAX the command.
; Leaves: all registers but the flags kept.
; Calls: apic_fault_icr (apic/fault.c).

section .text progbits alloc exec nowrite
bits 64
default rel

extern apic_fault_icr

%define SAVED 9

global apic_fault_entry
apic_fault_entry:
    push rbp
    mov rbp, rsp
    push rax
    push rcx
    push rdx
    push rsi
    push rdi
    push r8
    push r9
    push r10
    push r11
    and rsp, -16                ; whoever holds a site need not keep the stack aligned
    mov edi, edx
    mov esi, eax
    call apic_fault_icr
    lea rsp, [rbp - 8 * SAVED]
    pop r11
    pop r10
    pop r9
    pop r8
    pop rdi
    pop rsi
    pop rdx
    pop rcx
    pop rax
    pop rbp
    ret
