; What the tests run in ring 3: copied to RING3_VA (tests/ring3.h). No address in it may depend on where it stands. Most
; end with UD2, so that the test sees all registers in its frame.

global ring3_code, ring3_code_end
%macro CODE 1
global %1
%1:
%endmacro

section .rodata
bits 64
default rel

ring3_code:

CODE ring3_stop
    ud2
; Something for an interrupt to come in between.
CODE ring3_nops
    nop
    nop
    nop
CODE ring3_nops_end
    ud2

CODE ring3_system_call
    syscall
CODE ring3_system_call_done
    ud2

; RAX = number, R12 = how often. Afterwards R13 = the fewest ticks of one.
CODE ring3_time_call
    mov r13, -1
    mov r14, rax
.again:
    rdtsc
    mov rbx, rdx
    shl rbx, 32
    or rbx, rax
    mov rax, r14
    syscall
    rdtsc
    shl rdx, 32
    or rax, rdx
    sub rax, rbx
    cmp rax, r13
    cmovb r13, rax
    dec r12
    jnz .again
    ud2

; RAX = number, R12 = how often; R13 counts those that left a register other than it was.
CODE ring3_many_calls
    mov rbx, rax
    mov r15, 0x1234567800000001
    mov r14, r15
    mov rbp, r15
    mov r8, r15
    mov r9, r15
    mov r10, r15
    mov rsi, r15
    mov rdi, r15
    mov rdx, r15
.again:
    mov rax, rbx
    syscall
    cmp r14, r15
    jne .wrong
    cmp rbp, r15
    jne .wrong
    cmp r8, r15
    jne .wrong
    cmp r9, r15
    jne .wrong
    cmp r10, r15
    jne .wrong
    cmp rsi, r15
    jne .wrong
    cmp rdi, r15
    jne .wrong
    cmp rdx, r15
    jne .wrong
.next:
    pause                       ; TCG runs the other CPUs then
    dec r12
    jnz .again
    ud2
.wrong:
    inc r13
    jmp .next

; ---- one exception each ----

CODE ring3_divide
    xor edx, edx
    mov eax, 1
    xor ecx, ecx
    div ecx
CODE ring3_int1
    db 0xf1                     ; INT1
CODE ring3_int3
    int3
CODE ring3_int_n
    db 0xcd, 0                  ; INT, the vector is written by the test
CODE ring3_hlt
    hlt
CODE ring3_cli
    cli
CODE ring3_port
    in al, 0x60
CODE ring3_cr0
    mov rax, cr0
CODE ring3_rdmsr
    rdmsr
CODE ring3_wrfsbase
    wrfsbase rax
CODE ring3_swapgs
    swapgs
CODE ring3_sysret
    o64 sysret
CODE ring3_iret_to_kernel
    push 0x10
    push rsp
    pushfq
    push 0x08
    push rax
    iretq
CODE ring3_sgdt
    sgdt [rsp - 16]
CODE ring3_str
    str eax
; Through RAX, RBX: an address that the test chooses.
CODE ring3_read
    mov rcx, [rax]
    ud2
CODE ring3_write
    mov [rax], rcx
    ud2
CODE ring3_jump
    jmp rax
CODE ring3_stack_read
    mov rbp, rax
    mov rcx, [rbp]
    ud2
CODE ring3_return_to
    mov rsp, rax
    ret
; Sets the segment registers to all that ring 3 may; then a system call and an interrupt have to find their way.
CODE ring3_segments
    mov ecx, 0x1b
    mov ds, ecx
    mov es, ecx
    mov fs, ecx
    mov gs, ecx
    syscall
    xor ecx, ecx
    mov ds, ecx
    mov es, ecx
    mov fs, ecx
    mov gs, ecx
    mov eax, r15d
    syscall
    ud2
; A SIMD exception: 1 / 0 with its mask off.
CODE ring3_simd
    mov dword [rsp - 8], 0x1d80 ; MXCSR: all masked but division by zero
    ldmxcsr [rsp - 8]
    mov eax, 1
    cvtsi2ss xmm0, eax
    xorps xmm1, xmm1
    divss xmm0, xmm1
    ud2
; MOV SS delays a debug exception by one instruction; here that is SYSCALL (CVE-2018-8897). RCX = a data selector.
CODE ring3_mov_ss_system_call
    mov ecx, 0x1b
    mov ss, ecx
    syscall
    ud2

; Keeps reading the frame that RBP points to, until the word at RBX is not 0.
CODE ring3_read_frame
    mov rax, [rbp]
CODE ring3_read_frame_done
    pause
    cmp dword [rbx], 0
    je ring3_read_frame
    ud2

ring3_code_end:
