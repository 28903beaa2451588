; The first instructions of a program and of each of its threads. From here on it is C (user/lib/start.c, user/lib/thread.c).
;
; The kernel starts a thread with RSP as given, a multiple of 16, RDI = the argument, all other registers 0 and nothing to
; return to. RBP = 0 ends the chain of frames that a fault's report follows.

default rel
bits 64

extern program_begin, thread_begin

section .text
global program_entry:function
program_entry:
    xor     ebp, ebp
    call    program_begin   ; (argument) does not return
    ud2

; On the new stack: the function to call. thread_create (user/lib/thread.c) has put it there.
global thread_entry:function
thread_entry:
    xor     ebp, ebp
    mov     rsi, [rsp]
    call    thread_begin    ; (argument, function) does not return
    ud2

section .note.GNU-stack noalloc noexec nowrite progbits
