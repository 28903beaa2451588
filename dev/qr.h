/* QR codes (ISO/IEC 18004), versions 1 to 25, of text in the 45 characters of the alphanumeric mode (lib/base45.h): what any reader gives
 * back as plain text. Pure. */
#pragma once

#include "lib/types.h"

#define QR_VERSION_MAX 25u
#define QR_SIZE_MAX    (17u + 4u * QR_VERSION_MAX)
#define QR_QUIET       4u    /* light modules that have to surround a code */
#define QR_BYTES_MAX   1588u /* data and correction of version 25 */

/* How much of a code may be unreadable: 7, 15, 25, 30 of a hundred. */
enum qr_level { QR_L, QR_M, QR_Q, QR_H, QR_LEVELS };

/* Modules of a side. */
static inline u32 qr_size(u32 version)
{
    return 17 + 4 * version;
}

/* About 30 KiB; too much for a stack. */
struct qr {
    u32 version, size;
    enum qr_level level;
    u32 mask;
    u8 module[QR_SIZE_MAX * QR_SIZE_MAX]; /* row by row; bit 0: dark; bit 1: not for data */
    u8 bytes[QR_BYTES_MAX];               /* as they are placed */
    u8 data[QR_BYTES_MAX];
};

/* The characters that fit. version: 1 .. QR_VERSION_MAX. */
u32 qr_capacity(u32 version, enum qr_level level);
/* ERR_RANGE: more than fit, or no such version; ERR_INVAL: a character that is none of the 45. */
err_t qr_encode(struct qr *q, u32 version, enum qr_level level, const char *text, u32 n) MUST_CHECK;

static inline bool qr_dark(const struct qr *q, u32 x, u32 y)
{
    return q->module[y * q->size + x] & 1;
}

/* For dev/qr.c only (dev/qr_place.c): puts q->bytes and all patterns into q->module, under the mask that disturbs readers least. */
void qr_place(struct qr *q);
/* Modules for bytes and the few bits that remain. */
u32 qr_data_modules(u32 version);
