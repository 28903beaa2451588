; Multiboot2 header (Multiboot2 specification 2.0, section 3.1): how GRUB recognises the kernel and what it must tell us.
;
; A framebuffer is wished for, so that BIOS machines without a serial port show more than GRUB's last words; whatever there is
; will do (dev/screen.c).
; No EFI entry either: GRUB leaves the boot services and enters in 32-bit mode on BIOS and UEFI alike.

MAGIC    equ 0xe85250d6
I386     equ 0                  ; architecture: 32-bit protected mode of i386
OPTIONAL equ 1                  ; flag: boot even if this cannot be had

section .multiboot2 progbits alloc noexec nowrite align=8

header:
    dd MAGIC, I386, header_end - header
    dd -(MAGIC + I386 + (header_end - header)) & 0xffffffff

    align 8, db 0
request:                        ; tag 1: information wanted
    dw 1, OPTIONAL
    dd request_end - request
    dd 1, 2, 3, 6, 8, 12, 14, 15 ; command line, loader, modules, memory map, framebuffer, EFI64, ACPI old, new
request_end:

    align 8, db 0
    dw 5, OPTIONAL              ; tag 5: framebuffer wanted: width, height, bits
    dd 20, 1024, 768, 32

    align 8, db 0
    dw 6, 0                     ; tag 6: modules at page boundaries
    dd 8

    align 8, db 0
    dw 0, 0                     ; end
    dd 8
header_end:
