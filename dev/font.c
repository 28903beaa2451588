#include "dev/font.h"

#include "lib/string.h"

#define PSF1_HEADER     4u
#define PSF1_MODE_512   1u
#define PSF1_MODE_TABLE 6u /* with a table of code points; with sequences of them */
#define PSF1_END        0xffffu
#define PSF1_SEQUENCE   0xfffeu
#define PSF2_HEADER     32u
#define PSF2_FLAG_TABLE 1u
#define PSF2_END        0xffu
#define PSF2_SEQUENCE   0xfeu

static u32 get16(const u8 *p)
{
    return p[0] | (u32)p[1] << 8;
}
static u32 get32(const u8 *p)
{
    return get16(p) | get16(p + 2) << 16;
}

/* Keeps point[] ascending; of a code point that is named twice the first stays. */
static void add_point(struct font *f, u32 code, u32 glyph)
{
    u32 at = f->points;
    while (at && f->point[at - 1].code > code)
        at--;
    if (f->points == FONT_POINTS_MAX || (at && f->point[at - 1].code == code))
        return;
    memmove(&f->point[at + 1], &f->point[at], (f->points - at) * sizeof(f->point[0]));
    f->point[at] = (struct font_point){code, glyph};
    f->points++;
}

/* Version 1: for each glyph UCS-2 numbers up to PSF1_END; what follows PSF1_SEQUENCE are combinations, which we do not show. */
static void read_table1(struct font *f, const u8 *at, const u8 *end)
{
    bool sequence = false;
    for (u32 glyph = 0; glyph < f->glyphs && at + 2 <= end; at += 2) {
        u32 v = get16(at);
        if (v == PSF1_END) {
            glyph++;
            sequence = false;
        } else if (v == PSF1_SEQUENCE) {
            sequence = true;
        } else if (!sequence) {
            add_point(f, v, glyph);
        }
    }
}

/* One code point of UTF-8; *at moves on, by one byte over what is none. */
static u32 read_utf8(const u8 **at, const u8 *end)
{
    u8 lead = *(*at)++;
    u32 more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : lead >= 0xc0 ? 1 : 0;
    u32 code = more ? lead & (0x3fu >> more) : lead;
    for (; more && *at < end && (**at & 0xc0) == 0x80; more--)
        code = code << 6 | (*(*at)++ & 0x3fu);
    return code;
}

/* Version 2: the same in UTF-8, whose bytes are never 0xfe or 0xff. */
static void read_table2(struct font *f, const u8 *at, const u8 *end)
{
    bool sequence = false;
    for (u32 glyph = 0; glyph < f->glyphs && at < end;) {
        if (*at == PSF2_END) {
            glyph++;
            sequence = false;
            at++;
        } else if (*at == PSF2_SEQUENCE) {
            sequence = true;
            at++;
        } else {
            u32 code = read_utf8(&at, end);
            if (!sequence)
                add_point(f, code, glyph);
        }
    }
}

static bool sizes_ok(const struct font *f, u64 header, u64 size)
{
    return f->width && f->width <= FONT_CELL_WIDTH_MAX && f->height && f->height <= FONT_CELL_HEIGHT_MAX &&
           f->glyphs && f->glyphs <= FONT_GLYPHS_MAX && header <= size &&
           (u64)f->glyphs * f->height * f->row_bytes <= size - header;
}

/* Without a table the glyphs are taken for those of ASCII and Latin-1. */
static void assume_latin1(struct font *f)
{
    for (u32 g = 0; g < f->glyphs && g < 256; g++)
        add_point(f, g, g);
}

err_t font_parse(const u8 *file, u64 size, struct font *f)
{
    u64 header;
    bool table;
    bool version2 = size >= PSF2_HEADER && get32(file) == 0x864ab572;
    f->points = 0;
    if (version2) {
        header = get32(file + 8);
        table = get32(file + 12) & PSF2_FLAG_TABLE;
        f->glyphs = get32(file + 16);
        f->height = get32(file + 24);
        f->width = get32(file + 28);
        f->row_bytes = f->width <= FONT_CELL_WIDTH_MAX ? (f->width + 7) / 8 : 0;
        if (header < PSF2_HEADER || get32(file + 20) != f->height * f->row_bytes)
            return ERR_MALFORMED;
    } else if (size >= PSF1_HEADER && get16(file) == 0x0436) {
        header = PSF1_HEADER;
        table = file[2] & PSF1_MODE_TABLE;
        f->glyphs = file[2] & PSF1_MODE_512 ? 512 : 256;
        f->height = file[3];
        f->width = 8;
        f->row_bytes = 1;
    } else {
        return ERR_MALFORMED;
    }
    if (!sizes_ok(f, header, size))
        return ERR_MALFORMED;
    f->bitmap = file + header;
    const u8 *after = f->bitmap + (u64)f->glyphs * f->height * f->row_bytes;
    if (!table)
        assume_latin1(f);
    else if (version2)
        read_table2(f, after, file + size);
    else
        read_table1(f, after, file + size);
    return ERR_OK;
}

/* FONT_GLYPHS_MAX if the font does not name it. */
static u32 find(const struct font *f, u32 code)
{
    u32 lo = 0, hi = f->points;
    while (lo < hi) {
        u32 mid = (lo + hi) / 2;
        if (f->point[mid].code < code)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < f->points && f->point[lo].code == code ? f->point[lo].glyph : FONT_GLYPHS_MAX;
}

const u8 *font_glyph(const struct font *f, u32 code)
{
    u32 glyph = find(f, code);
    if (glyph == FONT_GLYPHS_MAX)
        glyph = find(f, '?');
    if (glyph == FONT_GLYPHS_MAX)
        glyph = 0;
    return f->bitmap + glyph * f->height * f->row_bytes;
}
