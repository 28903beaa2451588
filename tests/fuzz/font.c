/* A font file, to dev/font.c; then every glyph that it promises is read.
 *
 *     sources: dev/font.c
 */
#include "dev/font.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
    static struct font f;
    u8 *file = fuzz_copy(data, size);
    if (font_parse(file, size, &f) == ERR_OK) {
        u32 sum = 0;
        FUZZ_CHECK(f.points <= FONT_POINTS_MAX && f.glyphs <= FONT_GLYPHS_MAX && f.row_bytes * 8 >= f.width,
                   "%u points", f.points);
        for (u32 i = 0; i < f.points; i++) {
            FUZZ_CHECK(!i || f.point[i - 1].code < f.point[i].code, "ascending");
            const u8 *glyph = font_glyph(&f, f.point[i].code);
            for (u32 k = 0; k < f.height * f.row_bytes; k++)
                sum += glyph[k];
        }
        FUZZ_CHECK(sum <= 255u * FONT_POINTS_MAX * FONT_CELL_HEIGHT_MAX * 4, "read");
    }
    free(file);
    return 0;
}
