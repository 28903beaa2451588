; From one thread's kernel stack to another's.
;
; Enters: thread_switch is called by C (kernel/thread_switch.c) with interrupts off, so what a caller may lose is lost already:
;         only what a function must keep (System V ABI for AMD64, section 3.2.1) is on the stack between two runs of a thread.
; Leaves: on the other stack, with RAX = the thread that ran before. A thread that has never run finds on its stack, instead of
;         a call of thread_switch, a return to one of the two beginnings below (kernel/thread.c puts it there).
; Calls:  thread_begin, thread_begin_user; at each CALL RSP is aligned to 16.
;
; There are no flags to keep: interrupts are off on both sides, and the kernel sets neither DF nor AC across a call.

global thread_switch, thread_start_kernel, thread_start_user
extern thread_begin, thread_begin_user, trap_user_start

section .text
bits 64
default rel

; struct thread *thread_switch(struct thread *prev, struct thread *next)
    align 32
thread_switch:
    push rbp
    push rbx
    push r12
    push r13
    push r14
    push r15
    mov [rdi], rsp              ; struct thread.rsp is at offset 0
    mov rsp, [rsi]
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbx
    pop rbp
    mov rax, rdi
    ret

; RSP = the top of the stack less 16.
thread_start_kernel:
    mov rdi, rax
    call thread_begin           ; does not return

; RSP = struct trap_frame of ring 3.
thread_start_user:
    mov rdi, rax
    call thread_begin_user
    jmp trap_user_start
