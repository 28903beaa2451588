; What firmware's CPUs run while they wait for their wake-up (kernel/fault_mailbox.h).
;
; Enters: mailbox_loop_enter(loop, bridge tables, APIC id, mailbox, own tables), all physical, on a stack that is left behind.
; Leaves: to the wake-up vector, as ACPI 6.5, section 5.2.12.19, says: 64-bit mode, mapped one to one, interrupts off.
; The loop is copied to a page of its own; the bridge maps that page and the kernel, its own tables only the former.

bits 64

global mailbox_loop_enter, mailbox_loop_start, mailbox_loop_end

CR4_PGE         equ 1 << 7
EFER_MSR        equ 0xc0000080
EFER_SCE_NXE    equ 1 << 0 | 1 << 11
CODE            equ 0x38                ; as OVMF's are, and not as the kernel's
DATA            equ 0x30
MAILBOX_ID      equ 4
MAILBOX_VECTOR  equ 8

section .text
mailbox_loop_enter:
    cli
    mov cr3, rsi
    jmp rdi

section .rodata
    align 16
%define IN_PAGE(label) ((label) - mailbox_loop_start)
mailbox_loop_start:
    mov rax, cr4
    and eax, ~CR4_PGE                   ; forgets the kernel's global entries
    mov cr4, rax
    mov cr3, r8                         ; the kernel is gone
    mov r9, rdx
    mov r10, rcx
    mov ecx, EFER_MSR
    rdmsr
    and eax, ~EFER_SCE_NXE
    wrmsr

    ; Every CPU computes and stores the same addresses.
    lea rax, [rdi + IN_PAGE(gdt)]
    mov [rdi + IN_PAGE(gdt_pointer) + 2], rax
    lea rax, [rdi + IN_PAGE(.own_segments)]
    mov [rdi + IN_PAGE(far_pointer)], eax
    lgdt [rdi + IN_PAGE(gdt_pointer)]
    jmp far dword [rdi + IN_PAGE(far_pointer)]
.own_segments:
    mov eax, DATA
    mov ds, eax
    mov es, eax
    mov ss, eax
    xor esp, esp                        ; no stack: who needs one brings it

.next:
    pause
    cmp word [r10], 1
    jne .next
    cmp [r10 + MAILBOX_ID], r9d
    jne .next
    mov rax, [r10 + MAILBOX_VECTOR]
    mov word [r10], 0                   ; taken: x86 keeps stores behind earlier loads
    jmp rax

    align 8
gdt:
    times 6 dq 0
    dq 0x00cf93000000ffff               ; DATA, accessed
    dq 0x00af9b000000ffff               ; CODE, accessed
gdt_end:
gdt_pointer:
    dw gdt_end - gdt - 1
    dq 0
far_pointer:
    dd 0
    dw CODE
mailbox_loop_end:
