/* Changing kernel code at run time. */
#pragma once

#include "lib/types.h"

/* Writes n bytes of kernel text through the direct map, because text itself is mapped read-only. No CPU may be
 * executing there and each CPU owes a cpu_serialize() before it does (SDM volume 3A, section 9.1.3): see
 * kernel/patch.c. */
void text_write(u64 address, const void *bytes, u32 n);
