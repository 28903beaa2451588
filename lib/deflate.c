#include "lib/deflate.h"

#include "lib/string.h"

#define MATCH_MIN     3u
#define MATCH_MAX     258u
#define SHORT_REACH   4096u /* a match of three from further away costs more bits than three literals */
#define CHAIN_MAX     256u  /* places that are tried for one match */
#define GOOD_MATCH    128u  /* with one as long as this, the next place is not tried */
#define END_OF_BLOCK  256u
#define CODE_LENGTHS  19u /* symbols of the code that the codes' lengths are written in */
#define LENGTH_LIMIT  15u
#define LENGTHS_LIMIT 7u

/* RFC 1951, section 3.2.5: the first length, or distance, of each code, and how many bits more say which. */
static const u16 length_base[29] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                    31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
static const u8 length_bits[29] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                   2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
static const u16 distance_base[DEFLATE_DISTANCES] = {
    1,   2,   3,   4,   5,   7,    9,    13,   17,   25,   33,   49,   65,    97,    129,
    193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
static const u8 distance_bits[DEFLATE_DISTANCES] = {0, 0, 0, 0, 1, 1, 2, 2,  3,  3,  4,  4,  5,  5,  6,
                                                    6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13};
/* Section 3.2.7: the order in which the lengths of the lengths' code are written. */
static const u8 lengths_order[CODE_LENGTHS] = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                               11, 4,  12, 3, 13, 2, 14, 1, 15};

static u32 last_not_above(const u16 *base, u32 n, u32 value)
{
    u32 i = n - 1;
    while (base[i] > value)
        i--;
    return i;
}

/* ---- bits out ---- */

static void put(struct deflate *d, u32 value, u32 bits)
{
    d->bits |= (u64)value << d->bit_count;
    d->bit_count += bits;
    for (; d->bit_count >= 8; d->bit_count -= 8, d->bits >>= 8) {
        if (d->length < d->room)
            d->out[d->length] = (u8)d->bits;
        d->length++;
    }
}

/* ---- a block ---- */

struct codes {
    u32 literal_frequency[DEFLATE_LITERALS], distance_frequency[DEFLATE_DISTANCES];
    u8 length[DEFLATE_LITERALS +
              DEFLATE_DISTANCES]; /* of literals, then of distances: one sequence in the header */
    u16 literal[DEFLATE_LITERALS], distance[DEFLATE_DISTANCES];
    u32 literals, distances; /* that the header tells of */
};

static void count(const struct deflate *d, struct codes *c)
{
    memset(c, 0, sizeof(*c));
    for (u32 i = 0; i < d->tokens; i++) {
        u32 length = d->token[i] >> 16;
        if (!length) {
            c->literal_frequency[d->token[i]]++;
            continue;
        }
        c->literal_frequency[END_OF_BLOCK + 1 +
                             last_not_above(length_base, ARRAY_SIZE(length_base), length)]++;
        c->distance_frequency[last_not_above(distance_base, DEFLATE_DISTANCES, d->token[i] & 0xffff)]++;
    }
    c->literal_frequency[END_OF_BLOCK]++;
}

static void choose_codes(struct codes *c)
{
    u8 distance_length[DEFLATE_DISTANCES];
    deflate_code_lengths(c->literal_frequency, DEFLATE_LITERALS, LENGTH_LIMIT, c->length);
    deflate_code(c->length, DEFLATE_LITERALS, c->literal);
    deflate_code_lengths(c->distance_frequency, DEFLATE_DISTANCES, LENGTH_LIMIT, distance_length);
    deflate_code(distance_length, DEFLATE_DISTANCES, c->distance);
    for (c->literals = DEFLATE_LITERALS; !c->length[c->literals - 1]; c->literals--)
        ;
    for (c->distances = DEFLATE_DISTANCES; !distance_length[c->distances - 1]; c->distances--)
        ;
    memcpy(c->length + c->literals, distance_length, c->distances);
}

/* The sequence of code lengths with its repetitions: symbol in the low byte, what follows it in the high one. */
static u32 run_lengths(const u8 *length, u32 n, u16 *out)
{
    u32 written = 0;
    for (u32 i = 0; i < n;) {
        u32 run = 1;
        while (i + run < n && length[i + run] == length[i])
            run++;
        if (length[i] == 0 && run >= 3) {
            run = MIN(run, 138u);
            out[written++] = run <= 10 ? (u16)(17 | (run - 3) << 8) : (u16)(18 | (run - 11) << 8);
        } else if (run >= 4) {
            run = MIN(run, 7u);
            out[written++] = length[i];
            out[written++] = (u16)(16 | (run - 4) << 8);
        } else {
            run = 1;
            out[written++] = length[i];
        }
        i += run;
    }
    return written;
}

static void put_header(struct deflate *d, const struct codes *c, bool last)
{
    static const u8 more[3] = {2, 3, 7}; /* bits behind the symbols 16, 17, 18 */
    u16 symbols[DEFLATE_LITERALS + DEFLATE_DISTANCES], code[CODE_LENGTHS];
    u32 frequency[CODE_LENGTHS] = {0}, n = run_lengths(c->length, c->literals + c->distances, symbols);
    u8 length[CODE_LENGTHS];
    for (u32 i = 0; i < n; i++)
        frequency[symbols[i] & 0xff]++;
    deflate_code_lengths(frequency, CODE_LENGTHS, LENGTHS_LIMIT, length);
    deflate_code(length, CODE_LENGTHS, code);
    u32 told = CODE_LENGTHS;
    while (told > 4 && !length[lengths_order[told - 1]])
        told--;
    put(d, last, 1);
    put(d, 2, 2); /* dynamic codes */
    put(d, c->literals - 257, 5);
    put(d, c->distances - 1, 5);
    put(d, told - 4, 4);
    for (u32 i = 0; i < told; i++)
        put(d, length[lengths_order[i]], 3);
    for (u32 i = 0; i < n; i++) {
        u32 symbol = symbols[i] & 0xff;
        put(d, code[symbol], length[symbol]);
        if (symbol >= 16)
            put(d, symbols[i] >> 8, more[symbol - 16]);
    }
}

static void put_block(struct deflate *d, bool last)
{
    struct codes c;
    count(d, &c);
    choose_codes(&c);
    put_header(d, &c, last);
    const u8 *distance_length = c.length + c.literals;
    for (u32 i = 0; i < d->tokens; i++) {
        u32 length = d->token[i] >> 16, distance = d->token[i] & 0xffff;
        if (!length) {
            put(d, c.literal[distance], c.length[distance]);
            continue;
        }
        u32 l = last_not_above(length_base, ARRAY_SIZE(length_base), length);
        u32 e = last_not_above(distance_base, DEFLATE_DISTANCES, distance);
        put(d, c.literal[END_OF_BLOCK + 1 + l], c.length[END_OF_BLOCK + 1 + l]);
        put(d, length - length_base[l], length_bits[l]);
        put(d, c.distance[e], distance_length[e]);
        put(d, distance - distance_base[e], distance_bits[e]);
    }
    put(d, c.literal[END_OF_BLOCK], c.length[END_OF_BLOCK]);
    d->tokens = 0;
}

/* ---- matches ---- */

static u32 hash(const u8 *at)
{
    return ((u32)at[0] << 16 | (u32)at[1] << 8 | at[2]) * 0x9e3779b1u >> (32 - DEFLATE_HASH_BITS);
}

static void enter(struct deflate *d, const u8 *in, u64 n, u64 at)
{
    if (n - at < MATCH_MIN)
        return;
    u32 *newest = &d->newest[hash(in + at)];
    d->before[at % DEFLATE_WINDOW] = *newest;
    *newest = (u32)at + 1;
}

/* The longest match for what is at `at`, among places entered before it: length << 16 | distance, 0 if there is none. */
static u32 find(const struct deflate *d, const u8 *in, u64 n, u64 at)
{
    u32 most = (u32)MIN(n - at, MATCH_MAX), best = MATCH_MIN - 1, found = 0;
    if (most < MATCH_MIN)
        return 0;
    u32 place = d->newest[hash(in + at)];
    for (u32 tried = 0; place && at - (place - 1) < DEFLATE_WINDOW && tried < CHAIN_MAX; tried++) {
        const u8 *there = in + place - 1, *here = in + at;
        u32 length = 0;
        if (there[best] == here[best])
            while (length < most && there[length] == here[length])
                length++;
        if (length > best && (length > MATCH_MIN || here - there <= SHORT_REACH)) {
            best = length;
            found = length << 16 | (u32)(here - there);
            if (best == most)
                break;
        }
        place = d->before[(place - 1) % DEFLATE_WINDOW];
    }
    return found;
}

u64 deflate_bytes(struct deflate *d, const u8 *in, u64 n, u8 *out, u64 room)
{
    memset(d->newest, 0, sizeof(d->newest));
    d->tokens = 0;
    d->out = out;
    d->room = room;
    d->length = d->bits = d->bit_count = 0;
    u32 match = find(d, in, n, 0);
    for (u64 at = 0; at < n && d->length <= room;) {
        enter(d, in, n, at);
        u32 length = match >> 16, next = length < GOOD_MATCH ? find(d, in, n, at + 1) : 0;
        if (length && next >> 16 <= length) {
            d->token[d->tokens++] = match;
            for (u64 i = at + 1; i < at + length; i++)
                enter(d, in, n, i);
            at += length;
            next = find(d, in, n, at);
        } else {
            d->token[d->tokens++] = in[at++];
        }
        match = next;
        if (d->tokens == DEFLATE_TOKENS)
            put_block(d, false);
    }
    put_block(d, true);
    put(d, 0, -d->bit_count % 8);
    return d->length <= room ? d->length : 0;
}
