; What a CPU runs to get another APIC id (kernel/fault_apic_ids.c): adds to the register, says what it reads then, and sleeps until the
; next INIT. Copied to a page below 1 MiB. Enters: real mode, CS:IP = yz00:0000 (as in QEMU and Bochs), interrupts off.

global lift_start, lift_params, lift_end

CODE            equ 0x08
DATA            equ 0x10
CR0_PROTECTED   equ 0x11                ; PE, ET
LIFT_REGISTER   equ 0                   ; struct lift_params
LIFT_ADD        equ 4
LIFT_ID         equ 8

section .rodata
    align 16
%define IN_PAGE(label) ((label) - lift_start)
bits 16
lift_start:
    cli
    mov ax, cs
    mov ds, ax
    movzx ebx, ax
    shl ebx, 4
    lea eax, [ebx + IN_PAGE(gdt)]
    mov [IN_PAGE(gdt_pointer) + 2], eax
    lea eax, [ebx + IN_PAGE(.flat)]
    mov [IN_PAGE(far_pointer)], eax
    o32 lgdt [IN_PAGE(gdt_pointer)]
    mov eax, CR0_PROTECTED
    mov cr0, eax
    jmp dword far [IN_PAGE(far_pointer)]
bits 32
.flat:
    mov eax, DATA
    mov ds, eax
    lea ebx, [ebx + IN_PAGE(lift_params)]
    mov edx, [ebx + LIFT_REGISTER]
    mov eax, [edx]
    add eax, [ebx + LIFT_ADD]
    mov [edx], eax
    mov eax, [edx]
    mov [ebx + LIFT_ID], eax
.sleep:
    hlt
    jmp .sleep

    align 8
gdt:
    dq 0
    dq 0x00cf9b000000ffff               ; CODE, accessed
    dq 0x00cf93000000ffff               ; DATA, accessed
gdt_end:
gdt_pointer:
    dw gdt_end - gdt - 1
    dd 0
far_pointer:
    dd 0
    dw CODE
    align 4
lift_params:
    times 3 dd 0
lift_end:
