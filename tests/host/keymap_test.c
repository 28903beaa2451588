/* Scan codes to bytes: letters, shift, caps lock, control, cursor keys, layouts, the long sequences of some keys.
 *
 *     sources: dev/keymap.c dev/cp437.c
 *     sanitize: address,undefined
 */
#include "dev/keymap.h"

#include "dev/cp437.h"
#include "tests/host/host.h"

/* What a series of scan codes types; `pages` counts movements of the view. */
static s32 pages;
static const char *typed(u8 layout, const char *scans)
{
    static char out[128];
    struct keymap k = {.layout = layout};
    size_t n = 0;
    pages = 0;
    for (const u8 *s = (const u8 *)scans; *s; s++) {
        struct keymap_out o = keymap_scan(&k, *s);
        memcpy(out + n, o.text, o.length);
        n += o.length;
        pages += o.page;
    }
    out[n] = 0;
    return out;
}

HOST_TEST(keys)
{
    static const struct {
        u8 layout;
        const char *scans, *text;
    } cases[] = {
        {KEYMAP_US, "\x23\xa3\x12\x92\x26\xa6\x19\x99\x1c\x9c", "help\r"},
        {KEYMAP_US, "\x2a\x1e\x9e\xaa\x1e", "Aa"},
        {KEYMAP_US, "\x36\x02\xb6\x02", "!1"},
        {KEYMAP_US, "\x3a\xba\x1e\x02\x2a\x1e\xaa\x3a\xba\x1e",
         "A1aa"}, /* caps lock turns shift round for letters only */
        {KEYMAP_US, "\x1d\x2e\xae\x9d\x2e",
         "\x03"
         "c"},
        {KEYMAP_US, "\xe0\x48\xe0\xc8\xe0\x53", "\x1b[A\x1b[3~"},
        {KEYMAP_US, "\xe0\x2a\xe0\x4b\xe0\xcb\xe0\xaa\x1e",
         "\x1b[Da"},                                      /* a false shift around the cursor key */
        {KEYMAP_US, "\xe1\x1d\x45\xe1\x9d\xc5\x1e", "a"}, /* Pause */
        {KEYMAP_US, "\x0e\x0f\x39\x01", "\x7f\t \x1b"},
        {KEYMAP_US, "\x35\xe0\x35\xe0\x1c", "//\r"},
        {KEYMAP_US, "\x3b\x57\x58\x7f", ""}, /* function keys */
        {KEYMAP_UK, "\x2b\x2a\x04\x28", "#@"},
        {KEYMAP_DE, "\x15\x2c\x2a\x08\xaa", "zy/"},
        {KEYMAP_DE, "\xe0\x38\x10\x56\xe0\xb8\x56", "@|<"},
        {KEYMAP_DE, "\x1a", ""}, /* a letter that the prompt cannot take */
    };
    for (u32 i = 0; i < ARRAY_SIZE(cases); i++)
        HOST_CHECK(strcmp(typed(cases[i].layout, cases[i].scans), cases[i].text) == 0,
                   "case %u types <%s>, not <%s>", i, typed(cases[i].layout, cases[i].scans), cases[i].text);
    (void)typed(KEYMAP_US, "\x2a\xe0\x49\xe0\xc9\xe0\x49");
    HOST_CHECK(pages == 2, "shift and page up, twice: %d", pages);
    (void)typed(KEYMAP_US, "\xe0\x49");
    HOST_CHECK(pages == 0, "without shift nothing: %d", pages);
}

HOST_TEST(every_code_in_every_state_is_harmless)
{
    for (u32 layout = 0; layout < KEYMAP_LAYOUTS; layout++)
        for (u32 state = 0; state < 32; state++)
            for (u32 scan = 0; scan < 256; scan++) {
                struct keymap k = {.layout = (u8)layout,
                                   .shift = state & 1,
                                   .control = state & 2,
                                   .alt_gr = state & 4,
                                   .caps = state & 8,
                                   .extended = state & 16};
                struct keymap_out o = keymap_scan(&k, (u8)scan);
                if (o.length >= sizeof(o.text) || o.text[o.length])
                    HOST_CHECK(false, "layout %u, state %u, scan %02x: %u bytes", layout, state, scan,
                               o.length);
            }
    HOST_CHECK(cp437_byte(0x2500) == 0xc4 && cp437_byte('A') == 'A' && cp437_byte(0x4e00) == '?',
               "code page 437");
}
