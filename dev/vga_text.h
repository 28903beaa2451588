/* VGA text: 16-bit cells, a byte of code page 437 and one of colours (IBM VGA technical reference; the font is the firmware's). */
#pragma once

#include "lib/types.h"

struct vga_text {
    volatile u16 *base;
    u32 pitch; /* cells from one row to the next */
};

void vga_text_init(struct vga_text *v, void *base, u32 pitch_bytes);
/* cell: as dev/terminal.h packs it. */
void vga_text_draw(const struct vga_text *v, u32 column, u32 row, u32 cell, bool reversed);
