; The fonts of the screen: Terminus, as console-setup packs it for the Linux console (SIL Open Font License 1.1), built in
; whole. dev/screen.c takes the one that fits the screen.

global font_small, font_small_end, font_large, font_large_end

section .rodata progbits alloc noexec nowrite align=16

font_small:
    incbin "font16.psf"
font_small_end:
    align 16
font_large:
    incbin "font32.psf"
font_large_end:
