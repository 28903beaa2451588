/* The screen: a sink of the log on whatever the boot loader has left there, a linear framebuffer of any format or VGA text.
 *
 * `screen=auto|off`. JSON Lines are left out. What it shows is what a terminal of dev/terminal.h shows; a cell is drawn only where it differs from what is
 * there, so nothing is ever read from the framebuffer. */
#pragma once

#include "lib/boot_info.h"

/* Boot CPU, once, after kmap_init: what has been logged so far is shown, too. Says in the log what there is; without a screen, or with
 * too little memory, nothing happens. */
void screen_init(const struct boot_info *boot);
/* Moves the view by that many pages, up or (negative) down, as far as lines are kept. Boot CPU, THREAD. */
void screen_page(s32 pages);

/* What the last row says, which does not scroll: UTF-8 and colours as elsewhere, cut off at the right. "" clears it. Boot CPU, THREAD. */
void screen_status(const char *text);

/* A picture in black and white in place of the text, with two lines above it: squares, `size` in a row, in a light frame of `frame` more on
 * each side, as large as whole pixels allow. */
struct screen_picture {
    u32 size, frame;
    bool (*dark)(const void *arg, u32 x, u32 y);
    const void *arg;
    const char *caption[2];
};
/* The side in pixels of the square that a picture has at most; 0: there is no framebuffer, or no room. */
u32 screen_picture_side(void);
/* Shows it until screen_picture_end, or until there is new text: what a machine has to say must not wait for a key. Boot CPU, THREAD. */
void screen_picture_show(const struct screen_picture *p);
void screen_picture_end(void);
