; The first 64-bit code.
;
; Enters: from entry32, 64-bit mode, at this code's physical address (still mapped one to one), boot page tables,
;         interrupts off, EDI = multiboot2 magic, ESI = physical address of the boot information.
; Leaves: to boot_main(magic, information) in C, at kernel addresses only, with GS base at CPU 0's first per-CPU block,
;         so that per-CPU variables work from the first C instruction on.

%include "boot/boot.inc"

global boot_entry64
extern boot_main
extern boot_stack_top, percpu_boot, percpu_image_start, percpu_size ; linker.ld

section .rodata
    align 8
gdt:                            ; the accessed bits are set, so the CPU never writes to it
    dq 0
    dq 0x00af9b000000ffff       ; 64-bit code
    dq 0x00cf93000000ffff       ; data
gdt_pointer:
    dw $ - gdt - 1
    dq gdt

section .text
bits 64
boot_entry64:
    mov rax, .at_kernel_address
    jmp rax
.at_kernel_address:
    mov rsp, boot_stack_top
    push 0
    popfq                       ; known flags: interrupts off, direction up, AC and NT clear
    lgdt [abs gdt_pointer]
    mov eax, DATA_SELECTOR
    mov ds, eax
    mov es, eax
    mov ss, eax
    xor eax, eax
    mov fs, eax
    mov gs, eax                 ; clears the base too, so it comes before the WRMSR
    xor ebp, ebp                ; ends the chain of frames for backtraces

    mov r8d, edi
    mov r9d, esi
    mov rsi, percpu_image_start
    mov rdi, percpu_boot
    mov ecx, percpu_size
    rep movsb

    mov rdx, percpu_boot
    mov eax, edx
    shr rdx, 32
    mov ecx, GS_BASE_MSR
    wrmsr

    mov edi, r8d
    mov esi, r9d
    call boot_main              ; does not return
    ud2
