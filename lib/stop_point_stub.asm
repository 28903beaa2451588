; From a stop point's stub (lib/stop_point.h) to C.
;
; Enters: by CALL from the stub, wherever the point stands: interrupts on or off, RSP of any alignment, every register in
;         use; the point's number lies above the return address.
; Leaves: by RET, which takes the number off; all registers and flags as they were.
; Calls:  stop_point_reached(point), RSP aligned to 16.

global stop_point_stub
extern stop_point_reached

section .text
bits 64

stop_point_stub:
    push rbp
    mov rbp, rsp                ; a frame, so that a backtrace goes through
    pushfq
    push rax
    push rcx
    push rdx
    push rsi
    push rdi
    push r8
    push r9
    push r10
    push r11
    push rbx
    mov rbx, rsp
    mov edi, [rbp + 16]
    and rsp, -16
    call stop_point_reached
    mov rsp, rbx
    pop rbx
    pop r11
    pop r10
    pop r9
    pop r8
    pop rdi
    pop rsi
    pop rdx
    pop rcx
    pop rax
    popfq
    pop rbp
    ret 8
