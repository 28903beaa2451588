/* Code page 437, which VGA text shows. Pure. */
#pragma once

#include "lib/types.h"

/* The byte that shows a code point, or '?'. */
u8 cp437_byte(u32 code);
