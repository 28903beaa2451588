/* From scan codes of set 1 to bytes. Pure. */
#pragma once

#include "lib/types.h"

enum keymap_layout { KEYMAP_US, KEYMAP_UK, KEYMAP_DE, KEYMAP_LAYOUTS };
extern const char *const keymap_name[KEYMAP_LAYOUTS];

struct keymap {
    u8 layout; /* enum keymap_layout */
    bool shift, control, alt_gr, caps, extended;
    u8 skip; /* bytes of the Pause key's sequence that are still to come */
};

/* What one scan code adds: text is 0 .. 4 bytes; page: -1, 0, 1, the view is to move up or down. */
struct keymap_out {
    char text[5];
    u32 length;
    s32 page;
};
struct keymap_out keymap_scan(struct keymap *k, u8 scan);
