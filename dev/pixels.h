/* Drawing character cells into a linear framebuffer of any pixel format that firmware gives. Pure but for its writes to the
 * framebuffer, which is never read: with write-combining a read costs more than the whole row. */
#pragma once

#include "dev/font.h"
#include "lib/boot_info.h"

struct pixels {
    volatile u8 *base;
    u32 pitch, bytes; /* of a line, of a pixel */
    u32 colour[16];   /* the 16 colours as pixel values */
    const struct font *font;
};

/* base: where the framebuffer is mapped. ERR_UNSUPPORTED: not of type 0 or 1, or a pixel of some other length than 8, 15, 16, 24,
 * 32 bits. */
err_t pixels_init(struct pixels *p, const struct boot_framebuffer *f, void *base,
                  const struct font *font) MUST_CHECK;
/* The cell at (column, row), as dev/terminal.h packs it; reversed for the cursor. */
void pixels_draw(const struct pixels *p, u32 column, u32 row, u32 cell, bool reversed);
/* A rectangle of one of the 16 colours; x, y and sizes in pixels, within the framebuffer. */
void pixels_fill(const struct pixels *p, u32 x, u32 y, u32 width, u32 height, u32 colour);
