/* Our deflate against zlib's inflate, on text, runs, noise and mixtures; code lengths against Kraft's sum; CRC-32 against zlib's.
 *
 *     sources: lib/deflate.c lib/deflate_code.c lib/crc32.c
 *     sanitize: address,undefined
 *     libs: -lz
 */
#include "lib/deflate.h"

#include <zlib.h>

#include "lib/crc32.h"
#include "tests/host/host.h"

static u64 seed = 0x243f6a8885a308d3ull;
static u32 random_below(u32 n)
{
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return (u32)(seed >> 32) % n;
}

static struct deflate work;

/* Ends early rather than late: a buffer of the very length. Returns the compressed length. */
static u64 round_trip(const u8 *in, u64 n, const char *what)
{
    u64 room = n + n / 8 + 400;
    u8 *out = malloc(room), *back = malloc(n + 1);
    u64 length = deflate_bytes(&work, in, n, out, room);
    z_stream z = {.next_in = out, .avail_in = (uInt)length, .next_out = back, .avail_out = (uInt)n + 1};
    bool begun = inflateInit2(&z, -15) == Z_OK;
    int status = inflate(&z, Z_FINISH);
    HOST_CHECK(length && begun && status == Z_STREAM_END && z.total_out == n && z.avail_in == 0 &&
                   memcmp(back, in, n) == 0,
               "%s, %lu bytes: %lu compressed, zlib says %d (%s), %lu back, %u left", what, n, length, status,
               z.msg ? z.msg : "-", z.total_out, z.avail_in);
    (void)inflateEnd(&z);
    u8 *exact = malloc(length);
    HOST_CHECK(deflate_bytes(&work, in, n, exact, length) == length && memcmp(exact, out, length) == 0,
               "%s: the same again, into a buffer that just holds it", what);
    HOST_CHECK(deflate_bytes(&work, in, n, exact, length - 1) == 0, "%s: one byte too little room is noticed",
               what);
    free(exact);
    free(out);
    free(back);
    return length;
}

HOST_TEST(edges)
{
    static const char *const texts[] = {
        "", "a", "aa", "aaa", "aaaa", "ab", "abc", "abcabc", "abcabcabcabcabcabc"};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        round_trip((const u8 *)texts[i], strlen(texts[i]), texts[i]);
    static u8 run[300000];
    round_trip(run, sizeof(run), "zeros");
    /* Matches at, just within and just out of the window's reach, and of the greatest length. */
    for (u32 gap = 32760; gap < 32780; gap++) {
        for (u32 i = 0; i < gap + 600; i++)
            run[i] = (u8)random_below(256);
        memcpy(run + gap, run, 300);
        round_trip(run, gap + 600, "far match");
    }
}

static void fill(u8 *at, u32 n, u32 kind)
{
    for (u32 i = 0; i < n;) {
        if (kind == 0) { /* records with numbers, as they really are */
            char line[200];
            int m = snprintf(line, sizeof(line), "{\"policy\":\"p%u\",\"cpus\":%u,\"p50\":%u,\"max\":%u}\n",
                             random_below(13), 1u << random_below(7), random_below(100000),
                             random_below(10000000));
            for (int k = 0; k < m && i < n; k++)
                at[i++] = (u8)line[k];
        } else if (kind == 1) { /* noise of few or many symbols */
            at[i] = (u8)random_below(1 + (n & 255));
            i++;
        } else { /* copies from anywhere, and a little new */
            u32 from = i ? random_below(i) : 0, m = 1 + random_below(400);
            for (u32 k = 0; k < m && i < n; k++, i++)
                at[i] = i && k + 3 < m ? at[from + k] : (u8)random_below(256);
        }
    }
}

HOST_TEST(random_inputs)
{
    static u8 in[260000];
    for (u32 turn = 0; turn < 400; turn++) {
        u32 n = turn < 300 ? random_below(3000) : random_below(turn < 396 ? 40000 : sizeof(in));
        fill(in, n, turn % 3);
        round_trip(in, n, turn % 3 == 0 ? "records" : turn % 3 == 1 ? "noise" : "copies");
    }
}

HOST_TEST(no_worse_than_zlib)
{
    static u8 in[200000];
    fill(in, sizeof(in), 0);
    u64 ours = round_trip(in, sizeof(in), "records");
    uLongf theirs = compressBound(sizeof(in));
    u8 *out = malloc(theirs);
    HOST_CHECK(compress2(out, &theirs, in, sizeof(in), 9) == Z_OK, "zlib compresses");
    free(out);
    HOST_CHECK(ours < theirs + theirs / 50, "%lu bytes, zlib at its best %lu: at most 2 %% more", ours,
               theirs);
}

/* Frequencies of every shape, and Fibonacci's, which make the deepest tree. */
HOST_TEST(code_lengths)
{
    for (u32 turn = 0; turn < 2000; turn++) {
        u32 frequency[DEFLATE_LITERALS], limit = turn & 1 ? 15 : 9,
                                         n = 2 + random_below(DEFLATE_LITERALS - 1);
        u32 fibonacci[2] = {1, 1};
        for (u32 s = 0; s < n; s++) {
            u32 next = MIN(fibonacci[0] + fibonacci[1], 1u << 24);
            frequency[s] = turn % 4 < 2 ? random_below(1u << random_below(20)) : next;
            fibonacci[0] = fibonacci[1], fibonacci[1] = next;
            if (turn % 7 == 0 && random_below(3))
                frequency[s] = 0;
        }
        u8 length[DEFLATE_LITERALS];
        deflate_code_lengths(frequency, n, limit, length);
        u64 sum = 0;
        for (u32 s = 0; s < n; s++) {
            sum += length[s] ? 1ull << (limit - length[s]) : 0;
            HOST_CHECK(length[s] <= limit && (length[s] || !frequency[s]), "symbol %u of %u: %u bits", s, n,
                       length[s]);
        }
        HOST_CHECK(sum == 1ull << limit, "a complete code of %u symbols, limit %u: %lx", n, limit, sum);
    }
}

HOST_TEST(crc)
{
    u8 in[300];
    for (u32 n = 0; n < sizeof(in); n++) {
        in[n] = (u8)random_below(256);
        u32 half = n / 2;
        HOST_CHECK(crc32_add(crc32_add(0, in, half), in + half, n - half) == crc32(0, in, n), "%u bytes", n);
    }
}
