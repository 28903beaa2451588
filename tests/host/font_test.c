/* PSF fonts of both versions, good and broken, and glyphs drawn into framebuffers of every pixel format.
 *
 *     sources: dev/font.c dev/pixels.c
 *     sanitize: address,undefined
 */
#include "dev/font.h"
#include "dev/pixels.h"
#include "dev/terminal.h"
#include "tests/host/host.h"

/* Two glyphs of 8 x 2 (version 1 always has 256): 0 is '?', 1 is 'A' and U+0391. */
static u8 psf1[4 + 256 * 2 + 64];
static u64 build1(void)
{
    static const u16 table[] = {'?', 0xffff, 'A', 0x391, 0xfffe, 'B', 0x301, 0xffff};
    memset(psf1, 0, sizeof(psf1));
    psf1[0] = 0x36, psf1[1] = 0x04, psf1[2] = 2, psf1[3] = 2;
    psf1[4] = 0xff, psf1[5] = 0x81; /* glyph 0 */
    psf1[6] = 0x18, psf1[7] = 0x24;
    memcpy(psf1 + 4 + 512, table, sizeof(table));
    return 4 + 512 + sizeof(table);
}
static u8 psf2[32 + 2 * 2 * 3 + 32];
static u64 build2(void)
{
    static const u32 header[] = {0x864ab572, 0, 32, 1, 2, 6, 3, 12};
    static const u8 bitmap[] = {0xff, 0xf0, 0x80, 0x10, 0xff, 0xf0, 0x01, 0x00, 0x02, 0x00, 0x04, 0x00};
    static const u8 table[] = {'?', 0xff, 0xe2, 0x94, 0x80, 'x', 0xfe, 'y', 0xcc, 0x81, 0xff};
    memcpy(psf2, header, sizeof(header));
    memcpy(psf2 + 32, bitmap, sizeof(bitmap));
    memcpy(psf2 + 44, table, sizeof(table));
    return 44 + sizeof(table);
}

HOST_TEST(both_versions)
{
    static struct font f;
    u64 n = build1();
    HOST_CHECK(font_parse(psf1, n, &f) == ERR_OK && f.width == 8 && f.height == 2 && f.glyphs == 256,
               "version 1");
    HOST_CHECK(font_glyph(&f, 'A') == psf1 + 6 && font_glyph(&f, 0x391) == psf1 + 6,
               "A and Alpha are glyph 1");
    HOST_CHECK(font_glyph(&f, 'B') == psf1 + 4 && font_glyph(&f, 0x4e00) == psf1 + 4,
               "others, and parts of sequences, are ?");
    n = build2();
    HOST_CHECK(font_parse(psf2, n, &f) == ERR_OK && f.width == 12 && f.height == 3 && f.row_bytes == 2,
               "version 2");
    HOST_CHECK(font_glyph(&f, 0x2500) == psf2 + 38 && font_glyph(&f, 'x') == psf2 + 38,
               "a line, and x, are glyph 1");
    HOST_CHECK(font_glyph(&f, 'y') == psf2 + 32, "y is part of a sequence only");
    psf1[2] = 0;
    HOST_CHECK(font_parse(psf1, 4 + 512, &f) == ERR_OK && font_glyph(&f, 1) == psf1 + 6,
               "without a table: Latin-1");
}

HOST_TEST(broken_files_are_refused)
{
    static struct font f;
    u64 n = build1();
    for (u64 cut = 0; cut < 4 + 512; cut++) {
        u8 *exact = malloc(cut + 1);
        memcpy(exact, psf1, cut);
        HOST_CHECK(font_parse(exact, cut, &f) == ERR_MALFORMED, "%lu bytes of version 1", cut);
        free(exact);
    }
    n = build2();
    for (u64 cut = 0; cut < n; cut++) {
        u8 *exact = malloc(cut ? cut : 1);
        memcpy(exact, psf2, cut);
        err_t e = font_parse(exact, cut, &f);
        HOST_CHECK(cut < 44 ? e == ERR_MALFORMED : e == ERR_OK, "%lu bytes of version 2", cut);
        free(exact);
    }
    static const struct {
        u32 at, value;
    } bad[] = {{8, 0xfffffff0}, {8, 16},  {16, 0}, {16, 600}, {20, 7},
               {24, 0},         {24, 65}, {28, 0}, {28, 40},  {28, 0xffffffff}};
    for (u32 i = 0; i < ARRAY_SIZE(bad); i++) {
        (void)build2();
        memcpy(psf2 + bad[i].at, &bad[i].value, 4);
        HOST_CHECK(font_parse(psf2, n, &f) == ERR_MALFORMED, "field %u = %u", bad[i].at, bad[i].value);
    }
}

static u32 pixel(const u8 *line, u32 x, u32 bytes)
{
    u32 v = 0;
    memcpy(&v, line + x * bytes, bytes);
    return v;
}

HOST_TEST(glyphs_in_every_format)
{
    static const struct {
        struct boot_framebuffer f;
        u32 white, red;
    } formats[] = {
        {{.bpp = 32,
          .type = 1,
          .red_pos = 16,
          .red_size = 8,
          .green_pos = 8,
          .green_size = 8,
          .blue_size = 8},
         0xaaaaaa,
         0xaa0000},
        {{.bpp = 24,
          .type = 1,
          .red_pos = 0,
          .red_size = 8,
          .green_pos = 8,
          .green_size = 8,
          .blue_pos = 16,
          .blue_size = 8},
         0xaaaaaa,
         0x0000aa},
        {{.bpp = 16,
          .type = 1,
          .red_pos = 11,
          .red_size = 5,
          .green_pos = 5,
          .green_size = 6,
          .blue_size = 5},
         0xad55,
         0xa800},
        {{.bpp = 15,
          .type = 1,
          .red_pos = 10,
          .red_size = 5,
          .green_pos = 5,
          .green_size = 5,
          .blue_size = 5},
         0x56b5,
         0x5400},
        {{.bpp = 32,
          .type = 1,
          .red_pos = 20,
          .red_size = 10,
          .green_pos = 10,
          .green_size = 10,
          .blue_size = 10},
         0x2a8aa2a8,
         0x2a800000},
        {{.bpp = 8, .type = 0}, 7, 4},
    };
    static struct font font;
    u64 n = build1();
    HOST_CHECK(font_parse(psf1, n, &font) == ERR_OK, "the font");
    for (u32 i = 0; i < ARRAY_SIZE(formats); i++) {
        struct boot_framebuffer f = formats[i].f;
        struct pixels p;
        u32 bytes = (f.bpp + 7u) / 8, pitch = 16 * bytes + 3; /* odd, as some are */
        u8 *memory = calloc(4, pitch);
        f.width = 16, f.height = 4, f.pitch = pitch;
        HOST_CHECK(pixels_init(&p, &f, memory, &font) == ERR_OK, "%u bits", f.bpp);
        pixels_draw(&p, 1, 1, CELL('A', 7, 1), false); /* 0x18, 0x24 at x 8, y 2 */
        for (u32 y = 0; y < 4; y++)
            for (u32 x = 0; x < 16; x++) {
                u32 expected = 0;
                if (x >= 8 && y >= 2)
                    expected = (y == 2 ? 0x18 : 0x24) >> (15 - x) & 1 ? formats[i].white : formats[i].red;
                HOST_CHECK(pixel(memory + y * pitch, x, bytes) == expected, "format %u: %u,%u is %x, not %x",
                           i, x, y, pixel(memory + y * pitch, x, bytes), expected);
            }
        pixels_fill(&p, 3, 1, 4, 2, 7);
        for (u32 y = 0; y < 2; y++)
            for (u32 x = 0; x < 8; x++) {
                u32 expected = x >= 3 && x < 7 && y == 1 ? formats[i].white : 0;
                HOST_CHECK(pixel(memory + y * pitch, x, bytes) == expected, "format %u: %u,%u of a rectangle",
                           i, x, y);
            }
        free(memory);
    }
    struct pixels p;
    struct boot_framebuffer text = {.type = 2, .bpp = 16};
    HOST_CHECK(pixels_init(&p, &text, psf1, &font) == ERR_UNSUPPORTED, "VGA text has no pixels");
}
