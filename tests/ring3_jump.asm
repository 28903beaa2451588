; Into ring 3 and out of it for tests/ring3.c, as setjmp and longjmp.

global ring3_go, ring3_back
extern trap_user_enter

section .text
bits 64

; void ring3_go(struct trap_frame *f, u64 *rsp): enters ring 3; returns when ring3_back(*rsp) is called.
ring3_go:
    push rbp
    push rbx
    push r12
    push r13
    push r14
    push r15
    mov [rsi], rsp
    call trap_user_enter

; void ring3_back(u64 rsp), noreturn
ring3_back:
    mov rsp, rdi
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbx
    pop rbp
    ret
