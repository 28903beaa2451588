/* Where the modules of a QR code go: patterns for the reader, format, data, and the mask. */
#include "dev/qr.h"
#include "lib/string.h"

#define DARK     1u
#define FUNCTION 2u /* belongs to a pattern */
#define FINDER   7u
#define MASKS    8u

/* Patterns for alignment: how many in a row. Version 1 has none. */
static u32 alignments(u32 version)
{
    return version == 1 ? 0 : version / 7 + 2;
}

u32 qr_data_modules(u32 version)
{
    u32 size = qr_size(version), a = alignments(version);
    u32 finders = 3 * 8 * 8, timing = 2 * (size - 16), format = 31, version_bits = version >= 7 ? 36 : 0;
    /* Three corners of the grid of alignments are finders, and those on the timing lines share five modules with them. */
    u32 alignment = a ? (a * a - 3) * 25 - 2 * (a - 2) * 5 : 0;
    return size * size - finders - timing - format - version_bits - alignment;
}

static void set(struct qr *q, u32 x, u32 y, bool dark)
{
    q->module[y * q->size + x] = FUNCTION | (dark ? DARK : 0);
}

/* Rings around (x, y), dark but for those at two distances; what is off the code is left out. */
static void rings(struct qr *q, s32 x, s32 y, s32 reach, s32 light, s32 also_light)
{
    for (s32 dy = -reach; dy <= reach; dy++)
        for (s32 dx = -reach; dx <= reach; dx++) {
            s32 far = MAX(dx < 0 ? -dx : dx, dy < 0 ? -dy : dy);
            if (x + dx >= 0 && y + dy >= 0 && x + dx < (s32)q->size && y + dy < (s32)q->size)
                set(q, (u32)(x + dx), (u32)(y + dy), far != light && far != also_light);
        }
}

static void place_alignments(struct qr *q)
{
    u32 count = alignments(q->version);
    if (!count)
        return;
    /* The last lies seven from the edge, the others at equal, even steps before it; the first step is what remains. */
    u32 last = q->size - 7, two_steps = 2 * (count - 1), step = (last - 6 + two_steps - 1) / two_steps * 2;
    for (u32 i = 0; i < count; i++)
        for (u32 k = 0; k < count; k++) {
            bool finder = (!i && !k) || (!i && k == count - 1) || (i == count - 1 && !k);
            s32 x = (s32)(i ? last - (count - 1 - i) * step : 6),
                y = (s32)(k ? last - (count - 1 - k) * step : 6);
            if (!finder)
                rings(q, x, y, 2, 1, 1);
        }
}

/* value, followed by its remainder by `divisor` of that degree over GF(2). */
static u32 with_remainder(u32 value, u32 divisor, u32 degree)
{
    u32 rest = value;
    for (u32 i = 0; i < degree; i++)
        rest = rest << 1 ^ (rest >> (degree - 1) & 1) * divisor;
    return value << degree | (rest & ((1u << degree) - 1));
}

/* Level and mask, twice: around the upper left finder, and beside the two others. */
static void place_format(struct qr *q)
{
    static const u8 number[QR_LEVELS] = {1, 0, 3, 2};
    u32 bits = with_remainder((u32)number[q->level] << 3 | q->mask, 0x537, 10) ^ 0x5412, last = q->size - 1;
    for (u32 i = 0; i < 15; i++) {
        bool dark = bits >> i & 1;
        if (i < 8)
            set(q, 8, i < 6 ? i : i + 1, dark); /* down, over the timing line */
        else
            set(q, i == 8 ? 7 : 14 - i, 8, dark); /* to the left */
        if (i < 8)
            set(q, last - i, 8, dark);
        else
            set(q, 8, last - 14 + i, dark);
    }
    set(q, 8, q->size - 8, true); /* always dark */
}

static void place_version(struct qr *q)
{
    if (q->version < 7)
        return;
    u32 bits = with_remainder(q->version, 0x1f25, 12);
    for (u32 i = 0; i < 18; i++) {
        set(q, q->size - 11 + i % 3, i / 3, bits >> i & 1);
        set(q, i / 3, q->size - 11 + i % 3, bits >> i & 1);
    }
}

static void place_patterns(struct qr *q)
{
    s32 far = (s32)q->size - 4;
    memset(q->module, 0, sizeof(q->module));
    for (u32 i = 0; i < q->size; i++) {
        set(q, 6, i, i % 2 == 0);
        set(q, i, 6, i % 2 == 0);
    }
    rings(q, 3, 3, 4, 2, 4);
    rings(q, far, 3, 4, 2, 4);
    rings(q, 3, far, 4, 2, 4);
    place_alignments(q);
    place_format(q); /* its place; the mask comes later */
    place_version(q);
}

/* Two columns at a time, from the right, up and down in turn; the column of the timing line is skipped. */
static void place_data(struct qr *q)
{
    u32 at = 0, bits = qr_data_modules(q->version) / 8 * 8;
    for (s32 right = (s32)q->size - 1; right > 0; right -= right == 8 ? 3 : 2) {
        bool up = ((right + (right < 6)) & 2) == 0;
        for (u32 i = 0; i < 2 * q->size; i++) {
            u32 y = up ? q->size - 1 - i / 2 : i / 2;
            u8 *module = &q->module[y * q->size + (u32)right - i % 2];
            if (*module & FUNCTION || at == bits)
                continue;
            *module = q->bytes[at / 8] >> (7 - at % 8) & DARK;
            at++;
        }
    }
}

/* ---- masks ---- */

static bool mask_bit(u32 mask, u32 x, u32 y)
{
    switch (mask) {
    case 0:
        return (x + y) % 2 == 0;
    case 1:
        return y % 2 == 0;
    case 2:
        return x % 3 == 0;
    case 3:
        return (x + y) % 3 == 0;
    case 4:
        return (x / 3 + y / 2) % 2 == 0;
    case 5:
        return x * y % 2 + x * y % 3 == 0;
    case 6:
        return (x * y % 2 + x * y % 3) % 2 == 0;
    default:
        return ((x + y) % 2 + x * y % 3) % 2 == 0;
    }
}

/* Puts a mask on, or takes it off again. */
static void apply_mask(struct qr *q, u32 mask)
{
    for (u32 y = 0; y < q->size; y++)
        for (u32 x = 0; x < q->size; x++)
            if (!(q->module[y * q->size + x] & FUNCTION) && mask_bit(mask, x, y))
                q->module[y * q->size + x] ^= DARK;
}

/* One row or column: 3 for five of a colour and 1 for each more; 40 for what looks like a finder beside four light ones. */
static u32 line_penalty(const u8 *at, u32 step, u32 size)
{
    u32 penalty = 0, run = 0, window = 0, before = 2;
    for (u32 i = 0; i < size; i++) {
        u32 dark = at[i * step] & DARK;
        run = dark == before ? run + 1 : 1;
        before = dark;
        penalty += run == 5 ? 3 : run > 5 ? 1 : 0;
        window = (window << 1 | dark) & 0x7ff;
        if (i >= 10 && (window == 0x5d0 || window == 0x05d))
            penalty += 40;
    }
    return penalty;
}

/* ISO/IEC 18004, section 7.8.3. */
static u32 penalty_of(const struct qr *q)
{
    u32 penalty = 0, dark = 0, n = q->size;
    for (u32 i = 0; i < n; i++)
        penalty += line_penalty(q->module + i * n, 1, n) + line_penalty(q->module + i, n, n);
    for (u32 y = 0; y < n; y++)
        for (u32 x = 0; x < n; x++) {
            const u8 *m = q->module + y * n + x;
            dark += m[0] & DARK;
            if (x + 1 < n && y + 1 < n) {
                u32 four = (m[0] & DARK) + (m[1] & DARK) + (m[n] & DARK) + (m[n + 1] & DARK);
                penalty += four % 4 ? 0 : 3;
            }
        }
    u32 percent_off = 100 * dark / (n * n);
    percent_off = percent_off > 50 ? percent_off - 50 : 50 - percent_off;
    return penalty + percent_off / 5 * 10;
}

void qr_place(struct qr *q)
{
    u32 best = 0, least = ~0u;
    q->mask = 0;
    place_patterns(q);
    place_data(q);
    for (u32 mask = 0; mask < MASKS; mask++) {
        q->mask = mask;
        place_format(q);
        apply_mask(q, mask);
        u32 penalty = penalty_of(q);
        if (penalty < least) {
            least = penalty;
            best = mask;
        }
        apply_mask(q, mask);
    }
    q->mask = best;
    place_format(q);
    apply_mask(q, best);
}
