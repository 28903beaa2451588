/* Bitmap fonts in the PSF formats of the Linux console, versions 1 and 2, and which of their glyphs shows a code point. Pure: reads
 * the file that it was given and nothing else. Formats: https://www.kernel.org, drivers of the console; kbd's psf.h. */
#pragma once

#include "lib/types.h"

#define FONT_GLYPHS_MAX      512u
#define FONT_POINTS_MAX      2048u /* code points that the table of glyphs may name */
#define FONT_CELL_WIDTH_MAX  32u
#define FONT_CELL_HEIGHT_MAX 64u

struct font {
    u32 width, height; /* pixels */
    u32 row_bytes;     /* of one row of a glyph; the leftmost pixel is the highest bit */
    u32 glyphs;
    const u8 *bitmap; /* glyphs * height * row_bytes */
    u32 points;       /* filled entries of point[], ascending */
    struct font_point {
        u32 code;
        u32 glyph;
    } point[FONT_POINTS_MAX];
};

/* ERR_MALFORMED: neither format, or it names bytes beyond `size`, or sizes beyond the limits above; nothing of *out is to be used. */
err_t font_parse(const u8 *file, u64 size, struct font *out) MUST_CHECK;
/* The bitmap of the glyph for a code point, of '?' where the font has none, of glyph 0 where it has not even that. */
const u8 *font_glyph(const struct font *f, u32 code);
