; From GRUB's 32-bit protected mode to 64-bit mode.
;
; Enters: the boot CPU, from a multiboot2 loader (specification 2.0, section 3.3): flat 32-bit segments, paging off,
;         interrupts off, EAX = magic, EBX = physical address of the boot information, no stack, everything else unknown.
; Leaves: to boot_entry64, at its physical address, in 64-bit mode, EDI = magic, ESI = boot information.
; Builds: the boot page tables, of 2 MiB pages: the low 4 GiB mapped one to one and again at the direct map's base (a boot
;         loader leaves what it passes on below 4 GiB), and physical 0 .. 1 GiB at KERNEL_BASE. All writable and
;         executable; kmap_init (mm/kmap.h) replaces them before anything runs that could misuse that.

%include "boot/boot.inc"

PRESENT_WRITABLE equ 0x03
LARGE_PAGE       equ 0x80       ; PS (SDM volume 3A, table 4-18)
COM1             equ 0x3f8

global boot_entry
extern boot_entry64, boot_stack_top

%define phys(symbol) (symbol - KERNEL_BASE)

section .bss.page nobits alloc noexec write align=4096
boot_pml4:      resb 4096
boot_pdpt_low:  resb 4096       ; slots 0 and 256
boot_pdpt_high: resb 4096       ; slot 511
boot_pd:        resb 4 * 4096   ; 4 GiB

section .boot progbits alloc exec nowrite align=16
bits 32
boot_entry:
    cli
    cld
    mov esp, phys(boot_stack_top)
    mov edi, eax
    mov esi, ebx

    ; CPUID exists if EFLAGS.ID can be changed (SDM volume 1, section 20.1).
    pushfd
    pop eax
    mov ecx, eax
    xor eax, 1 << 21
    push eax
    popfd
    pushfd
    pop eax
    xor eax, ecx
    test eax, 1 << 21
    jz no_long_mode

    mov eax, 0x80000000
    cpuid
    cmp eax, 0x80000001
    jb no_long_mode
    mov eax, 0x80000001
    cpuid
    test edx, 1 << 29           ; LM
    jz no_long_mode
    mov ebp, EFER_LME
    test edx, 1 << 20           ; NX: can be off in the firmware's setup, and then NXE would fault
    jz build_tables
    or ebp, EFER_NXE

build_tables:
    mov eax, PRESENT_WRITABLE | LARGE_PAGE
    mov ebx, phys(boot_pd)
    mov ecx, 4 * 512
.next_page:
    mov [ebx], eax              ; the upper half of each entry stays 0: the loader has cleared .bss
    add eax, 2 << 20
    add ebx, 8
    loop .next_page

    mov eax, phys(boot_pd) + PRESENT_WRITABLE
    mov [phys(boot_pdpt_high) + 510 * 8], eax
    mov [phys(boot_pdpt_low)], eax
    add eax, 4096
    mov [phys(boot_pdpt_low) + 1 * 8], eax
    add eax, 4096
    mov [phys(boot_pdpt_low) + 2 * 8], eax
    add eax, 4096
    mov [phys(boot_pdpt_low) + 3 * 8], eax

    mov eax, phys(boot_pdpt_low) + PRESENT_WRITABLE
    mov [phys(boot_pml4)], eax
    mov [phys(boot_pml4) + 256 * 8], eax
    mov dword [phys(boot_pml4) + 511 * 8], phys(boot_pdpt_high) + PRESENT_WRITABLE

    ; CR4 before CR0: clearing CR0.WP with CET left on would fault. The order after that: SDM volume 3A, section 10.8.5.
    mov eax, CR4_BOOT
    mov cr4, eax
    mov eax, phys(boot_pml4)
    mov cr3, eax
    mov ecx, EFER_MSR
    mov eax, ebp
    xor edx, edx
    wrmsr
    mov eax, CR0_BOOT
    mov cr0, eax
    lgdt [gdt_pointer]
    jmp CODE_SELECTOR:phys(boot_entry64)

; Says on the first serial port why nothing happens, and stops.
no_long_mode:
    mov ebx, serial_setup
    mov ecx, serial_setup_count
.setup:
    movzx edx, word [ebx]
    mov al, [ebx + 2]
    out dx, al
    add ebx, 3
    loop .setup
    mov esi, message
.next_char:
    mov ecx, 100000             ; a UART takes 87 us for a character; an absent one must not keep us here
.wait:
    mov dx, COM1 + 5
    in al, dx
    test al, 0x20               ; transmitter holding register empty
    loopz .wait
    lodsb
    test al, al
    jz .halt
    mov dx, COM1
    out dx, al
    jmp .next_char
.halt:
    cli
    hlt
    jmp .halt

%macro uart 2                   ; register, value
    dw COM1 + %1
    db %2
%endmacro
serial_setup:
    uart 1, 0x00                ; no interrupts
    uart 3, 0x80                ; divisor latch open
    uart 0, 0x01                ; divisor 1: 115200 baud
    uart 1, 0x00
    uart 3, 0x03                ; 8 bits, no parity, 1 stop bit; divisor latch closed
    uart 2, 0x07                ; FIFOs on and cleared
serial_setup_count equ ($ - serial_setup) / 3

message: db "Volley needs a 64-bit x86 CPU: this one has no long mode. Halted.", 13, 10, 0

    align 8
gdt:                            ; in force for a few instructions: entry64 loads one at a kernel address
    dq 0
    dq 0x00af9b000000ffff       ; 64-bit code, accessed
    dq 0x00cf93000000ffff       ; data, accessed
gdt_pointer:
    dw $ - gdt - 1
    dd gdt
