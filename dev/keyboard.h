/* A PS/2 keyboard behind an 8042, or what firmware makes of a USB keyboard to look like one. Polled: nobody is interrupted by typing
 * while something is measured. `keyboard=us|uk|de`. Boot CPU, THREAD. */
#pragma once

#include "lib/types.h"

/* Is there an 8042? Empties it and turns on its first port, with translation to scan code set 1. */
bool keyboard_init(void);
/* The next byte of what was typed, as a VT100 would send it (cursor keys are sequences), or -1. Shift with Page Up and Page Down
 * moves the screen's view instead. */
int keyboard_poll(void);
