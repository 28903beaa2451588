; The copies to and from ring 3's memory: kernel/uaccess.h. The one place where SMAP is opened.
;
; Called from C (System V ABI); RDX bytes from [RSI] to [RDI]; result in RAX: 0, or the vector of the exception. A string
; instruction that faults has counted in RSI, RDI and RCX what it has done, so going on where it stopped is enough (SDM
; volume 1, section 7.3.9.1). kernel/exception.c knows the functions by the labels around them: a page fault in the
; first may wait for memory, one in the others is given up at once.

%include "kernel/entry.inc"

global uaccess_copy, uaccess_peek, uaccess_rewrite, uaccess_copy_end, uaccess_peek_end

section .text
bits 64

; u64 %1(void *to, const void *from, size_t bytes)
%macro USER_COPY 1
%1:
    mov rcx, rdx
    STAC_SITE
%%access:
    rep movsb
    CLAC_SITE
    xor eax, eax
    ret
%%fault:
    CLAC_SITE
    ret
MAY_FAULT %%access, %%fault
%endmacro

USER_COPY uaccess_copy
uaccess_copy_end:

USER_COPY uaccess_peek

; u64 uaccess_rewrite(void *to): writes what is there already, as one access.
uaccess_rewrite:
    STAC_SITE
rewrite_access:
    lock or dword [rdi], 0
    CLAC_SITE
    xor eax, eax
    ret
rewrite_fault:
    CLAC_SITE
    ret
MAY_FAULT rewrite_access, rewrite_fault
uaccess_peek_end:
