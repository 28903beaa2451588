; What the patched sites of lib/cost.h call: spends the ticks of one operation on this CPU.
;
; Enters: anywhere in the kernel, any context, with the kernel's root loaded. Leaves: all registers but the flags kept.
; Calls: nothing.
;
; Two ways. Where one instruction is one tick (Bochs), turns of a loop of two instructions: CALL, PUSH, MOV, TEST, JS, POP
; and RET are 7 ticks, and the NOP that the CALL stands for is saved, so n turns cost 6 + 2n ticks more than without a model.
; Elsewhere, by the clock; or lines are only counted. No PAUSE: nobody is waited for, and the loop ends by itself within microseconds.

%include "asm-offsets.inc"

%define COST_BY_CLOCK 31        ; bits of the word, as in lib/cost.c and lib/cost.h
%define COST_COUNTS   30        ; with the other: one more line, and nothing is spent

section .text progbits alloc exec nowrite
bits 64
default rel

extern cost_word
extern counter_cache_lines

%macro COST_FUNCTION 2          ; name, index in enum cost
global cost_spend_%1
cost_spend_%1:
    push rcx
    mov ecx, [cost_word + 4 * %2]
    test ecx, ecx
    js cost_by_clock
%%turn:
    dec ecx
    jnz %%turn
    pop rcx
    ret
%endmacro

    COST_FUNCTION invlpg, COST_INVLPG
    COST_FUNCTION cr3, COST_CR3
    COST_FUNCTION invpcid, COST_INVPCID
    COST_FUNCTION entry, COST_ENTRY
    COST_FUNCTION icr, COST_ICR
    COST_FUNCTION line, COST_LINE
    COST_FUNCTION wire, COST_WIRE

; RCX is on the stack; ECX has the ticks below bit 31, which the lower half of the TSC is enough to count.
cost_by_clock:
    bt ecx, COST_COUNTS
    jc cost_counted
    push rax
    push rbx
    push rdx
    btr ecx, COST_BY_CLOCK
    rdtsc
    mov ebx, eax
.look:
    rdtsc
    sub eax, ebx
    cmp eax, ecx
    jb .look
    pop rdx
    pop rbx
    pop rax
    pop rcx
    ret

cost_counted:
    inc qword [gs:counter_cache_lines]
    pop rcx
    ret
