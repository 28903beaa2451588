; Accesses that may fault: the safe_ functions of kernel/trap.h.
;
; Called from C (System V ABI): arguments in RDI, RSI; result in EAX: 0, or the vector of the exception. Each
; instruction that may fault has an entry in the exception table (section .extable: its address, where to go on); the
; exception handler (kernel/exception.c) sets RAX to the vector and goes on there, which for most is a RET: RAX is the
; result.

global safe_read_u64, safe_write_u64, safe_call, safe_rdmsr, safe_wrmsr, safe_mwait

%include "kernel/entry.inc"     ; MAY_FAULT

section .text
bits 64
default rel

; int safe_read_u64(const void *p, u64 *out)
safe_read_u64:
.access:
    mov rax, [rdi]
    mov [rsi], rax
    xor eax, eax
.fault:
    ret
MAY_FAULT safe_read_u64.access, safe_read_u64.fault

; int safe_write_u64(void *p, u64 v)
safe_write_u64:
.access:
    mov [rdi], rsi
    xor eax, eax
.fault:
    ret
MAY_FAULT safe_write_u64.access, safe_write_u64.fault

; int safe_mwait(u32 extensions)
safe_mwait:
    mov ecx, edi
    xor eax, eax
.access:
    mwait
    xor eax, eax
.fault:
    ret
MAY_FAULT safe_mwait.access, safe_mwait.fault

; int safe_rdmsr(u32 msr, u64 *out)
safe_rdmsr:
    mov ecx, edi
.access:
    rdmsr
    shl rdx, 32
    or rax, rdx
    mov [rsi], rax
    xor eax, eax
.fault:
    ret
MAY_FAULT safe_rdmsr.access, safe_rdmsr.fault

; int safe_wrmsr(u32 msr, u64 v)
safe_wrmsr:
    mov ecx, edi
    mov eax, esi
    mov rdx, rsi
    shr rdx, 32
.access:
    wrmsr
    xor eax, eax
.fault:
    ret
MAY_FAULT safe_wrmsr.access, safe_wrmsr.fault

; int safe_call(u64 (*fn)(void), u64 *out) The CALL itself faults if the address is not canonical (SDM volume 2,
; CALL); if there is no code, the first fetch behind it does, and then the handler finds the return address in the
; table and takes it off the stack.
safe_call:
    push rbp
    mov rbp, rsp
    push rsi
    sub rsp, 8                  ; aligns the stack for the CALL
.call:
    call rdi
.return:
    mov rsi, [rbp - 8]
    mov [rsi], rax
    xor eax, eax
.fault:
    leave
    ret
MAY_FAULT safe_call.call, safe_call.fault
MAY_FAULT safe_call.return, safe_call.fault
