/* Compresses into the DEFLATE format (RFC 1951), as gzip, PNG and zip use it: every inflate reads it. Dynamic Huffman blocks only, matches
 * found by hash chains, put off by one byte if the next place has a longer one. Pure: the caller gives all memory. */
#pragma once

#include "lib/types.h"

#define DEFLATE_WINDOW    32768u /* how far back a match may lie; RFC 1951, section 2 */
#define DEFLATE_HASH_BITS 15u
#define DEFLATE_TOKENS    16384u /* literals and matches of one block */
#define DEFLATE_LITERALS  286u
#define DEFLATE_DISTANCES 30u

/* Working memory, 320 KiB; need not be initialised. */
struct deflate {
    u32 newest[1u << DEFLATE_HASH_BITS]; /* 1 + the last place whose three bytes have this hash; 0: none */
    u32 before[DEFLATE_WINDOW]; /* for a place, modulo the window: 1 + the last one before it with its hash */
    u32 token[DEFLATE_TOKENS];  /* a literal, or length << 16 | distance */
    u32 tokens;
    u8 *out;
    u64 room, length; /* of out; length counts on when there is no room */
    u64 bits;         /* not written yet */
    u32 bit_count;
};

/* Bytes written to out, or 0 if they would have been more than `room`; then out holds garbage, and no time was spent on the rest. Less than
 * 4 GiB of input. Any context that has the time: some 20 ns a byte. */
u64 deflate_bytes(struct deflate *d, const u8 *in, u64 n, u8 *out, u64 room);

/* Lengths of a Huffman code for symbols of these frequencies, none above `limit` bits; 0 where the frequency is 0. The code is complete and
 * has at least two symbols: where fewer occur, others get a length, too. n is at most DEFLATE_LITERALS, limit at most 15 and 2^limit >= n. */
void deflate_code_lengths(const u32 *frequency, u32 n, u32 limit, u8 *length);
/* The canonical code of these lengths, each with its first bit lowest, as it is written. */
void deflate_code(const u8 *length, u32 n, u16 *code);
