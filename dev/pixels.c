#include "dev/pixels.h"

#include "dev/terminal.h"

/* The colours of VGA text, as 0xrrggbb. */
static const u32 vga[16] = {0x000000, 0xaa0000, 0x00aa00, 0xaa5500, 0x0000aa, 0xaa00aa, 0x00aaaa, 0xaaaaaa,
                            0x555555, 0xff5555, 0x55ff55, 0xffff55, 0x5555ff, 0xff55ff, 0x55ffff, 0xffffff};
/* Where these are in the palette that firmware loads for indexed modes: the order of the terminal's colours is red first. */
static const u8 index_of[16] = {0, 4, 2, 6, 1, 5, 3, 7, 8, 12, 10, 14, 9, 13, 11, 15};

static u32 channel(u32 v, u8 position, u8 size)
{
    return size && size <= 8 ? v >> (8 - size) << position : size ? v << (size - 8) << position : 0;
}

err_t pixels_init(struct pixels *p, const struct boot_framebuffer *f, void *base, const struct font *font)
{
    u32 bytes = (f->bpp + 7u) / 8;
    if (f->type > 1 || bytes < 1 || bytes > 4)
        return ERR_UNSUPPORTED;
    *p = (struct pixels){.base = base, .pitch = f->pitch, .bytes = bytes, .font = font};
    for (u32 i = 0; i < 16; i++)
        p->colour[i] = f->type == 0 ? index_of[i]
                                    : channel(vga[i] >> 16 & 0xff, f->red_pos, f->red_size) |
                                          channel(vga[i] >> 8 & 0xff, f->green_pos, f->green_size) |
                                          channel(vga[i] & 0xff, f->blue_pos, f->blue_size);
    return ERR_OK;
}

/* Lines may begin at any byte. */
typedef u32 __attribute__((aligned(1))) u32_anywhere;
typedef u16 __attribute__((aligned(1))) u16_anywhere;

static ALWAYS_INLINE void put(volatile u8 *at, u32 bytes, u32 value)
{
    if (bytes == 4) {
        *(volatile u32_anywhere *)at = value;
    } else if (bytes == 2) {
        *(volatile u16_anywhere *)at = (u16)value;
    } else {
        for (u32 i = 0; i < bytes; i++)
            at[i] = (u8)(value >> 8 * i);
    }
}

/* Inlined for each length of a pixel, so that the innermost loop has no choice in it. */
static ALWAYS_INLINE void draw(const struct pixels *p, volatile u8 *line, const u8 *glyph, u32 fg, u32 bg,
                               u32 bytes)
{
    const struct font *f = p->font;
    for (u32 y = 0; y < f->height; y++, line += p->pitch) {
        volatile u8 *at = line;
        for (u32 x = 0; x < f->width; x++, at += bytes)
            put(at, bytes, glyph[x / 8] >> (7 - x % 8) & 1 ? fg : bg);
        glyph += f->row_bytes;
    }
}

void pixels_draw(const struct pixels *p, u32 column, u32 row, u32 cell, bool reversed)
{
    const u8 *glyph = font_glyph(p->font, CELL_CODE(cell));
    volatile u8 *line =
        p->base + (u64)row * p->font->height * p->pitch + (u64)column * p->font->width * p->bytes;
    u32 fg = p->colour[CELL_FOREGROUND(cell)], bg = p->colour[CELL_BACKGROUND(cell)];
    if (reversed) {
        u32 swap = fg;
        fg = bg;
        bg = swap;
    }
    switch (p->bytes) {
    case 4:
        draw(p, line, glyph, fg, bg, 4);
        break;
    case 3:
        draw(p, line, glyph, fg, bg, 3);
        break;
    case 2:
        draw(p, line, glyph, fg, bg, 2);
        break;
    default:
        draw(p, line, glyph, fg, bg, 1);
    }
}

void pixels_fill(const struct pixels *p, u32 x, u32 y, u32 width, u32 height, u32 colour)
{
    for (u32 row = 0; row < height; row++) {
        volatile u8 *at = p->base + (u64)(y + row) * p->pitch + (u64)x * p->bytes;
        for (u32 i = 0; i < width; i++, at += p->bytes)
            put(at, p->bytes, p->colour[colour]);
    }
}
