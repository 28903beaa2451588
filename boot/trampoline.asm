; An application processor's (AP's) way from the SIPI to its first C function.
;
; smp/bringup.c copies trampoline_start .. trampoline_end to a page below 1 MiB, fills in the segment of the first jump
; and struct ap_params (lib/ap_params.h) at the end, fills the rest of the page with INT3, and sends INIT and SIPI to
; all APs. They run here all at once: nobody has a stack yet, and what one stores into the page, every other one stores.
;
; Enters: 16-bit real mode at the first byte, CS:IP = yz00:0000 or, on some CPUs, y000:z000 for the page 000yz000; after
;         INIT, so interrupts are off, CR0 = ET with or without CD and NW, EFER = 0 (SDM volume 3A, section 9.4).
; Leaves: to entry(cpu) in C at its kernel address: 64-bit mode, the kernel's own tables (final_cr3), CR0, CR4 and EFER
;         exactly as given, its own stack, interrupts off, RDI = cpu, a GDT with CODE_SELECTOR and DATA_SELECTOR; an IDT
;         that knows NMIs and machine checks only; GS base unset. Never returns.
; Or:     parks for ever, if its id stands in no slot, or the slot has been claimed before or closed (it came too late).
;         Parked CPUs need neither the page nor the temporary tables any more, and survive NMIs and machine checks.

%include "asm-offsets.inc"
%include "boot/boot.inc"

global trampoline_start, trampoline_params, trampoline_mailbox, trampoline_end

CODE32_SELECTOR equ 0x18
CR0_PROTECTED   equ 0x11                ; PE, ET: caches on, no paging yet
APIC_BASE_MSR   equ 0x1b
APIC_BASE_COMPARED equ ~0x3ff           ; page, on, x2APIC; not BSP: smp/bringup.c
NMI_VECTOR      equ 2
MACHINE_CHECK_VECTOR equ 18
GATE_INTERRUPT  equ 0x8e00              ; present, DPL 0, 64-bit interrupt gate, no IST
GATE_LOW        equ 0                   ; the handler's address, in three parts, in a gate of 16 bytes
GATE_MIDDLE     equ 6
GATE_HIGH       equ 8
GATE_SIZE       equ 16

; ---------------------------------------------------------------------------------------------------------------------
; The page: position-independent. Addresses in it are offsets from trampoline_start, added to the page's address in EBX.
; ---------------------------------------------------------------------------------------------------------------------
section .rodata
    align 16
%define IN_PAGE(label) ((label) - trampoline_start)
%define PARAM(field)   (IN_PAGE(trampoline_params) + field)

bits 16
trampoline_start:
    db 0xea                             ; JMP ptr16:16 makes CS:IP = yz00:0005 out of either form. bringup.c relies on
    dw IN_PAGE(real_mode)               ; its format (SDM volume 2, JMP), and checks the opcode
    dw 0                                ; segment: page / 16, filled in with the copy
real_mode:
    cli
    cld
    mov ax, cs
    mov ds, ax
    movzx ebx, ax
    shl ebx, 4                          ; EBX = physical address of the page, from here to 64-bit code

    ; GDTR and far jumps take linear addresses. Every AP computes and stores the same ones.
    lea eax, [ebx + IN_PAGE(gdt)]
    mov [IN_PAGE(gdt_pointer.base)], eax
    lea eax, [ebx + IN_PAGE(protected_mode)]
    mov [IN_PAGE(far_protected)], eax
    lea eax, [ebx + IN_PAGE(long_mode)]
    mov [IN_PAGE(far_long)], eax

    o32 lgdt [IN_PAGE(gdt_pointer)]
    mov eax, CR0_PROTECTED
    mov cr0, eax
    jmp dword far [IN_PAGE(far_protected)]

bits 32
protected_mode:
    mov eax, DATA_SELECTOR
    mov ds, eax
    mov es, eax
    mov ss, eax
    xor eax, eax
    mov fs, eax
    mov gs, eax
    ; The order of SDM volume 3A, section 10.8.5: PAE (in CR4), CR3, LME, then PG.
    mov eax, [ebx + PARAM(AP_PARAMS_CR4)]
    mov cr4, eax
    mov eax, [ebx + PARAM(AP_PARAMS_TEMP_CR3)]
    mov cr3, eax
    mov ecx, EFER_MSR
    mov eax, [ebx + PARAM(AP_PARAMS_EFER)]
    mov edx, [ebx + PARAM(AP_PARAMS_EFER) + 4]
    wrmsr
    mov eax, [ebx + PARAM(AP_PARAMS_CR0)]
    mov cr0, eax
    jmp far [ebx + IN_PAGE(far_long)]

bits 64
long_mode:
    lea r8, [rbx + PARAM(0)]            ; the parameters, mapped one to one by the temporary tables
    mov rax, ap_kernel_half
    jmp rax

; The other way in, for CPUs that firmware has kept in 64-bit mode (smp/ap_mailbox.h): on its tables, which map this page one to one,
; and with its segments. RBX and R8 become what they are above; the order is that of need: NXE before tables that use it.
; A CPU with five levels of tables on cannot get to four without leaving 64-bit mode: it stays here, and is given up.
trampoline_mailbox:
    cli
    cld
    lea rbx, [rel trampoline_start]
    mov rax, cr4
    test eax, CR4_LA57
    jnz .stay
    mov ecx, EFER_MSR
    mov eax, [rbx + PARAM(AP_PARAMS_EFER)]
    or eax, EFER_LMA                    ; the parameters are for a CPU that is not in long mode yet
    mov edx, [rbx + PARAM(AP_PARAMS_EFER) + 4]
    wrmsr
    mov rax, [rbx + PARAM(AP_PARAMS_CR4)]
    mov cr4, rax
    mov rax, [rbx + PARAM(AP_PARAMS_TEMP_CR3)]
    mov cr3, rax
    mov rax, [rbx + PARAM(AP_PARAMS_CR0)]
    mov cr0, rax
    lea r8, [rbx + PARAM(0)]
    mov rax, ap_from_mailbox
    jmp rax
.stay:
    hlt
    jmp .stay

    align 8
gdt:                                    ; accessed bits set, so that no CPU writes to the read-only original
    dq 0
    dq 0x00af9b000000ffff               ; CODE_SELECTOR: 64-bit
    dq 0x00cf93000000ffff               ; DATA_SELECTOR
    dq 0x00cf9b000000ffff               ; CODE32_SELECTOR
gdt_end:
gdt_pointer:
    dw gdt_end - gdt - 1
.base:
    dd 0
far_protected:
    dd 0
    dw CODE32_SELECTOR
far_long:
    dd 0
    dw CODE_SELECTOR

    align 8
trampoline_params:
    times AP_PARAMS_SIZE db 0
trampoline_end:

%if trampoline_end - trampoline_start > 4096
%error "the trampoline and its parameters must fit into one page"
%endif

; ---------------------------------------------------------------------------------------------------------------------
; The kernel half: runs where it is linked. R8 = parameters, under the temporary tables until CR3 is loaded.
; ---------------------------------------------------------------------------------------------------------------------
    align 8
kernel_gdt_pointer:                     ; the same GDT in the kernel image: the copy is not mapped by the final tables
    dw gdt_end - gdt - 1
    dq gdt
early_idt_pointer:
    dw (MACHINE_CHECK_VECTOR + 1) * GATE_SIZE - 1
    dq early_idt

section .data
    align 16
; The linker cannot split the handler's address: each AP stores it, the same value.
%macro EARLY_GATE 0
    dw 0, CODE_SELECTOR, GATE_INTERRUPT, 0
    dd 0, 0
%endmacro
early_idt:                              ; all other vectors are not present
    times NMI_VECTOR * GATE_SIZE db 0
.nmi:
    EARLY_GATE
    times (MACHINE_CHECK_VECTOR - NMI_VECTOR - 1) * GATE_SIZE db 0
.machine_check:
    EARLY_GATE

section .bss
    align 16
    resb 128                            ; two frames of 40 bytes, each aligned: a machine check and an NMI, of each one at most
parking_stack_top:

section .text
bits 64
ap_from_mailbox:
    ; Our segments. Several CPUs may be here, and push the same two words to the same place.
    mov rsp, parking_stack_top
    lgdt [rel kernel_gdt_pointer]
    push CODE_SELECTOR
    mov rax, ap_kernel_half
    push rax
    mov eax, DATA_SELECTOR
    mov ds, eax
    mov es, eax
    mov ss, eax
    xor eax, eax
    mov fs, eax
    mov gs, eax
    o64 retf
ap_kernel_half:
    ; An NMI from here to the AP's own IDT, and on a parked CPU, can only be a panic that stops everybody; a machine check is
    ; mostly told to all CPUs at a time, and another one reports it: the handler of both is the parking place. Without one the
    ; CPU would shut down, and most machines reset then, before the report. All of them push their frames to one place; nobody reads them.
    mov rsp, parking_stack_top
    lgdt [rel kernel_gdt_pointer]
    mov rax, ap_park
    mov [rel early_idt.nmi + GATE_LOW], ax
    mov [rel early_idt.machine_check + GATE_LOW], ax
    shr rax, 16
    mov [rel early_idt.nmi + GATE_MIDDLE], ax
    mov [rel early_idt.machine_check + GATE_MIDDLE], ax
    shr rax, 16
    mov [rel early_idt.nmi + GATE_HIGH], eax
    mov [rel early_idt.machine_check + GATE_HIGH], eax
    lidt [rel early_idt_pointer]
    lock inc dword [r8 + AP_PARAMS_ARRIVED]

    ; EDX = this CPU's APIC id, by which it is sent interrupts. Where xAPIC is used, its register has it: firmware of AMD's
    ; processors before Zen gives CPUs other ids than CPUID goes on to say. The register is where the boot CPU's is, or this CPU's is
    ; off or elsewhere yet.
    mov r9, [r8 + AP_PARAMS_XAPIC_ID]
    test r9, r9
    jz .id_by_cpuid
    mov ecx, APIC_BASE_MSR
    rdmsr
    shl rdx, 32
    or rax, rdx
    and rax, APIC_BASE_COMPARED
    cmp rax, [r8 + AP_PARAMS_XAPIC_BASE]
    jne .id_by_cpuid
    mov edx, [r9]
    shr edx, 24
    jmp .have_id

    ; Else the first of the leaves 0x1f and 0xb that exists and is not empty (EBX[15:0] = 0), else the 8 bits of leaf 1. Works
    ; in every APIC mode, before C has enabled any. The same as apic/apic.c:apic_id_cpuid.
.id_by_cpuid:
    xor eax, eax
    cpuid
    mov r9d, eax                        ; last leaf
    mov r10d, 0x1f
.topology_leaf:
    cmp r9d, r10d
    jb .next_leaf
    mov eax, r10d
    xor ecx, ecx
    cpuid
    test ebx, 0xffff
    jnz .have_id
.next_leaf:
    cmp r10d, 0x0b
    mov r10d, 0x0b                      ; does not change the flags
    jne .topology_leaf
    mov eax, 1
    cpuid
    shr ebx, 24
    mov edx, ebx
.have_id:

    mov rdi, [r8 + AP_PARAMS_SLOTS]
    mov rcx, [r8 + AP_PARAMS_SLOT_COUNT]
.next_slot:
    sub rcx, 1
    jb .unknown
    cmp [rdi + AP_SLOT_APIC_ID], edx
    je .found
    add rdi, AP_SLOT_SIZE
    jmp .next_slot

.found:
    ; Whoever makes 0 into 1 owns the slot, its stack and its per-CPU block: a CPU that is started twice runs once, and
    ; one that comes after bringup.c has closed the slot does not run.
    xor eax, eax
    mov ecx, 1
    lock cmpxchg [rdi + AP_SLOT_CLAIMED], ecx
    jnz .refused
    mov rax, [r8 + AP_PARAMS_FINAL_CR3]
    mov rbx, [r8 + AP_PARAMS_ENTRY]
    mov cr3, rax                        ; R8 points nowhere now
    mov rsp, [rdi + AP_SLOT_STACK]
    mov rdi, [rdi + AP_SLOT_CPU]
    xor ebp, ebp                        ; ends the chain of frames for backtraces
    push rbp
    popfq                               ; known flags: interrupts off, direction up, AC and NT clear
    call rbx
    jmp ap_park                         ; entry does not return

.unknown:
    lock inc dword [r8 + AP_PARAMS_UNKNOWN]
.refused:
    mov rax, [r8 + AP_PARAMS_FINAL_CR3] ; the temporary tables may go away
    mov cr3, rax
    ; falls through

; Interrupts off, asleep. From an NMI, too: without IRET further NMIs are held back. From a machine check, too: a second one would
; be a shutdown, as MCG_STATUS says that the first is still being handled.
ap_park:
    cli
    hlt
    jmp ap_park
