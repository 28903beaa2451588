/* Base 45 (RFC 9285): bytes as the 45 characters that a QR code packs into 5 1/2 bits each. Two bytes become three characters, a last
 * single one two. Pure. */
#pragma once

#include "lib/types.h"

extern const char base45_digit[46];

static inline u64 base45_length(u64 bytes)
{
    return bytes / 2 * 3 + bytes % 2 * 2;
}
/* Writes base45_length(n) characters, and no 0. */
void base45_encode(const u8 *in, u64 n, char *out);
