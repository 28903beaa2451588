/* The framebuffer (Multiboot2 specification 2.0, section 3.6.12). */
#include "boot/mb2_tag.h"

/* Where VGA adapters have their memory, in whatever mode. The map may say anything of that hole, even that it is usable. */
#define VGA_START  0xa0000ull
#define VGA_END    0xc0000ull
#define CELL_BYTES 2u /* of VGA text: the character and its colours */

/* NULL if f can be drawn on; else what is wrong with it. */
static const char *framebuffer_fault(const struct boot_framebuffer *f)
{
    if (f->type > 2)
        return "unknown type";
    if (!f->width || !f->height)
        return "no pixels";
    if (f->bpp != 8 && f->bpp != 15 && f->bpp != 16 && f->bpp != 24 && f->bpp != 32)
        return "odd number of bits per pixel";
    if (f->pitch < (u64)f->width * ((f->bpp + 7u) / 8))
        return "lines overlap";
    if ((u64)f->pitch * f->height > ~0ull - f->base.v)
        return "reaches past the last address";
    if (f->type == 2 && f->pitch < (u64)f->width * CELL_BYTES)
        return "lines of text overlap";
    if (f->type == 2 && (f->base.v < VGA_START || f->base.v + (u64)f->pitch * f->height > VGA_END))
        return "VGA text outside of VGA memory";
    if (f->type == 1 && (f->red_pos + f->red_size > f->bpp || f->green_pos + f->green_size > f->bpp ||
                         f->blue_pos + f->blue_size > f->bpp))
        return "a colour lies outside the pixel";
    return NULL;
}

void mb2_read_framebuffer(struct boot_info *out, const struct tag *t)
{
    if (!mb2_long_enough(out, t, 32, "framebuffer"))
        return;
    struct boot_framebuffer f = {.base = PADDR(get64(t->p + 8)),
                                 .pitch = get32(t->p + 16),
                                 .width = get32(t->p + 20),
                                 .height = get32(t->p + 24),
                                 .bpp = t->p[28],
                                 .type = t->p[29]};
    if (f.type == 1) {
        if (!mb2_long_enough(out, t, 38, "RGB framebuffer"))
            return;
        const u8 *c = t->p + 32;
        f.red_pos = c[0], f.red_size = c[1];
        f.green_pos = c[2], f.green_size = c[3];
        f.blue_pos = c[4], f.blue_size = c[5];
    }
    const char *fault = framebuffer_fault(&f);
    if (fault) {
        NOTE(out, "framebuffer type %u, %ux%u, %u bits, pitch %u: %s: ignored", f.type, f.width, f.height,
             f.bpp, f.pitch, fault);
        return;
    }
    out->framebuffer = f;
    out->have_framebuffer = true;
}

/* Pixels in memory that is given away would be drawn over the data of whoever gets it. VGA text is in VGA memory, which never is given
 * away, whatever the map says of it. */
void mb2_check_framebuffer(struct boot_info *out)
{
    const struct boot_framebuffer *f = &out->framebuffer;
    u64 start = f->base.v, end = start + (u64)f->pitch * f->height;
    if (!out->have_framebuffer || f->type == 2)
        return;
    for (u32 i = 0; i < out->mem_count; i++) {
        const struct boot_mem_range *r = &out->mem[i];
        if (r->type != BOOT_MEM_USABLE || r->start.v >= end || r->start.v + r->size <= start)
            continue;
        NOTE(out, "framebuffer 0x%llx to 0x%llx lies in usable memory: ignored", (unsigned long long)start,
             (unsigned long long)end);
        out->have_framebuffer = false;
        return;
    }
}
