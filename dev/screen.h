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
