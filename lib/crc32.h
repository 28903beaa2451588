/* CRC-32 as in zlib, PNG and Ethernet (polynomial 0xedb88320, reflected, inverted). Pure. */
#pragma once

#include "lib/types.h"

/* Of n bytes more: begin with 0, then with what the bytes before gave. */
u32 crc32_add(u32 crc, const void *bytes, size_t n);
