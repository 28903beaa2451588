/* From text to the bytes of a code. Where they go: dev/qr_place.c. */
#include "dev/qr.h"

#include "lib/base45.h"
#include "lib/string.h"

#define MODE_ALPHANUMERIC 2u
#define MODE_BITS         4u
#define CORRECTION_MAX    30u

/* ISO/IEC 18004, table 9: correction bytes of a block, and blocks, for each level and version. */
static const u8 block_correction[QR_LEVELS][QR_VERSION_MAX] = {
    {7, 10, 15, 20, 26, 18, 20, 24, 30, 18, 20, 24, 26, 30, 22, 24, 28, 30, 28, 28, 28, 28, 30, 30, 26},
    {10, 16, 26, 18, 24, 16, 18, 22, 22, 26, 30, 22, 22, 24, 24, 28, 28, 26, 26, 26, 26, 28, 28, 28, 28},
    {13, 22, 18, 26, 18, 24, 18, 22, 20, 24, 28, 26, 24, 20, 30, 24, 28, 28, 26, 30, 28, 30, 30, 30, 30},
    {17, 28, 22, 16, 22, 28, 26, 26, 24, 28, 24, 28, 22, 24, 24, 30, 28, 28, 26, 28, 30, 24, 30, 30, 30},
};
static const u8 blocks[QR_LEVELS][QR_VERSION_MAX] = {
    {1, 1, 1, 1, 1, 2, 2, 2, 2, 4, 4, 4, 4, 4, 6, 6, 6, 6, 7, 8, 8, 9, 9, 10, 12},
    {1, 1, 1, 2, 2, 4, 4, 4, 5, 5, 5, 8, 9, 9, 10, 10, 11, 13, 14, 16, 17, 17, 18, 20, 21},
    {1, 1, 2, 2, 4, 4, 6, 6, 8, 8, 8, 10, 12, 16, 12, 17, 16, 18, 21, 20, 23, 23, 25, 27, 29},
    {1, 1, 2, 4, 4, 4, 5, 6, 8, 8, 11, 11, 16, 16, 18, 16, 19, 21, 25, 25, 25, 34, 30, 32, 35},
};

static u32 all_bytes(u32 version)
{
    return qr_data_modules(version) / 8;
}

static u32 data_bytes(u32 version, enum qr_level level)
{
    return all_bytes(version) - block_correction[level][version - 1] * blocks[level][version - 1];
}

/* Bits of the number of characters. */
static u32 count_bits(u32 version)
{
    return version < 10 ? 9 : 11;
}

u32 qr_capacity(u32 version, enum qr_level level)
{
    u32 bits = data_bytes(version, level) * 8 - MODE_BITS - count_bits(version);
    return bits / 11 * 2 + (bits % 11 >= 6);
}

/* ---- data ---- */

static void put(struct qr *q, u32 *at, u32 value, u32 bits)
{
    for (; bits--; ++*at)
        q->data[*at / 8] |= (u8)((value >> bits & 1) << (7 - *at % 8));
}

static u32 digit(char c)
{
    u32 d = 0;
    while (d < 45 && base45_digit[d] != c)
        d++;
    return d;
}

static err_t put_text(struct qr *q, const char *text, u32 n)
{
    u32 at = 0, room = data_bytes(q->version, q->level) * 8;
    memset(q->data, 0, sizeof(q->data));
    put(q, &at, MODE_ALPHANUMERIC, MODE_BITS);
    put(q, &at, n, count_bits(q->version));
    for (u32 i = 0; i < n; i += 2) {
        u32 first = digit(text[i]), second = i + 1 < n ? digit(text[i + 1]) : 0;
        if (first == 45 || second == 45)
            return ERR_INVAL;
        if (i + 1 < n)
            put(q, &at, first * 45 + second, 11);
        else
            put(q, &at, first, 6);
    }
    /* Four zeros end it where there is room; the rest of the byte stays zero; then two bytes in turn. */
    at = ALIGN_UP(MIN(at + 4, room), 8u);
    for (u32 i = 0; at < room; i++)
        put(q, &at, i % 2 ? 0x11 : 0xec, 8);
    return ERR_OK;
}

/* ---- correction: Reed-Solomon over GF(256) with x^8 + x^4 + x^3 + x^2 + 1 ---- */

static u8 multiply(u8 a, u8 b)
{
    u32 product = 0;
    for (u32 i = 8; i--;) {
        product = product << 1 ^ (product >> 7) * 0x11d;
        product ^= (u32)(b >> i & 1) * a;
    }
    return (u8)product;
}

/* The product of (x - 2^i), i below `degree`; the leading 1 is left out. */
static void generator(u32 degree, u8 *g)
{
    u8 root = 1;
    memset(g, 0, degree);
    g[degree - 1] = 1;
    for (u32 i = 0; i < degree; i++, root = multiply(root, 2))
        for (u32 k = 0; k < degree; k++)
            g[k] = (u8)(multiply(g[k], root) ^ (k + 1 < degree ? g[k + 1] : 0));
}

static void remainder_of(const u8 *data, u32 n, const u8 *g, u32 degree, u8 *rest)
{
    memset(rest, 0, degree);
    for (u32 i = 0; i < n; i++) {
        u8 factor = data[i] ^ rest[0];
        for (u32 k = 0; k < degree; k++)
            rest[k] = (u8)((k + 1 < degree ? rest[k + 1] : 0) ^ multiply(g[k], factor));
    }
}

/* Data bytes of all blocks in turn, then the correction's; the last blocks may have one byte of data more than the first. */
static void interleave(struct qr *q)
{
    u32 count = blocks[q->level][q->version - 1], degree = block_correction[q->level][q->version - 1];
    u32 data = data_bytes(q->version, q->level), shorter = data / count, longer = data % count;
    u8 g[CORRECTION_MAX], rest[CORRECTION_MAX];
    const u8 *at = q->data;
    generator(degree, g);
    for (u32 b = 0; b < count; b++) {
        u32 first_longer = count - longer, n = shorter + (b >= first_longer);
        remainder_of(at, n, g, degree, rest);
        for (u32 i = 0; i < n; i++)
            q->bytes[i < shorter ? i * count + b : shorter * count + b - first_longer] = at[i];
        for (u32 i = 0; i < degree; i++)
            q->bytes[data + i * count + b] = rest[i];
        at += n;
    }
}

err_t qr_encode(struct qr *q, u32 version, enum qr_level level, const char *text, u32 n)
{
    if (version < 1 || version > QR_VERSION_MAX || level >= QR_LEVELS || n > qr_capacity(version, level))
        return ERR_RANGE;
    q->version = version;
    q->size = qr_size(version);
    q->level = level;
    err_t e = put_text(q, text, n);
    if (e != ERR_OK)
        return e;
    interleave(q);
    qr_place(q);
    return ERR_OK;
}
