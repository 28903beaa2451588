#include "lib/base45.h"

const char base45_digit[46] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:";

void base45_encode(const u8 *in, u64 n, char *out)
{
    for (u64 i = 0; i < n; i += 2) {
        u32 value = i + 1 < n ? (u32)in[i] << 8 | in[i + 1] : in[i];
        for (u32 digits = i + 1 < n ? 3 : 2; digits--; value /= 45)
            *out++ = base45_digit[value % 45];
    }
}
