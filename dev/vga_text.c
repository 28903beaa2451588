#include "dev/vga_text.h"

#include "dev/cp437.h"
#include "dev/terminal.h"
#include "lib/x86/cpu.h"

#define CRTC_INDEX        0x3d4u
#define CRTC_DATA         0x3d5u
#define CRTC_CURSOR_START 0x0au
#define CRTC_CURSOR_OFF   0x20u

/* Red and blue change places: the terminal's colours begin with red, VGA's with blue. */
static u32 colour(u32 c)
{
    return (c & 0xa) | (c & 1) << 2 | (c >> 2 & 1);
}

void vga_text_init(struct vga_text *v, void *base, u32 pitch_bytes)
{
    v->base = base;
    v->pitch = pitch_bytes / sizeof(u16);
    /* We draw the cursor ourselves, as in pixels. */
    out8(CRTC_INDEX, CRTC_CURSOR_START);
    out8(CRTC_DATA, CRTC_CURSOR_OFF);
}

void vga_text_draw(const struct vga_text *v, u32 column, u32 row, u32 cell, bool reversed)
{
    u32 fg = colour(CELL_FOREGROUND(cell)), bg = colour(CELL_BACKGROUND(cell)) & 7; /* bit 3 may blink */
    if (reversed) {
        u32 swap = fg;
        fg = bg;
        bg = swap & 7;
    }
    v->base[row * v->pitch + column] = (u16)(cp437_byte(CELL_CODE(cell)) | fg << 8 | bg << 12);
}
