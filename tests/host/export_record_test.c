/* Records with fields left out: what stays at each level, and lines that are none.
 *
 *     sources: kernel/export_record.c
 *     sanitize: address,undefined
 */
#include "kernel/export_record.h"

#include "tests/host/host.h"

static const char *at_level(const char *line, u32 level)
{
    static char out[1024];
    size_t n = export_record(line, strlen(line), level, out);
    HOST_CHECK(n <= strlen(line), "%s: %zu bytes at level %u", line, n, level);
    out[n] = 0;
    return out;
}

#define BENCH(metric, rest) "{\"volley\":1,\"type\":\"bench\",\"metric\":\"" metric "\"" rest "}"

HOST_TEST(levels)
{
    static const char full[] =
        BENCH("initiator", ",\"n\":2,\"min\":3,\"p50\":4,\"p50_low\":5,\"p50_high\":6,\"p90\":7,\"p99\":8,"
                           "\"p999\":9,\"max\":10,\"mean\":11,\"overhead\":12,\"lines\":null,\"icr\":1");
    static const char *const expected[EXPORT_LEVELS] = {
        BENCH("initiator", ",\"n\":2,\"min\":3,\"p50\":4,\"p50_low\":5,\"p50_high\":6,\"p90\":7,\"p99\":8,"
                           "\"max\":10,\"mean\":11,\"icr\":1"),
        BENCH("initiator", ",\"n\":2,\"min\":3,\"p50\":4,\"p50_low\":5,\"p50_high\":6,\"p90\":7,\"p99\":8,"
                           "\"max\":10,\"mean\":11,\"icr\":1"),
        BENCH("initiator", ",\"n\":2,\"min\":3,\"p50\":4,\"p50_low\":5,\"p50_high\":6,\"p99\":8,\"icr\":1"),
        BENCH("initiator", ",\"n\":2,\"min\":3,\"p50\":4,\"p99\":8,\"icr\":1"),
        BENCH("initiator", ",\"n\":2,\"min\":3,\"p50\":4,\"p99\":8,\"icr\":1"),
        BENCH("initiator", ",\"n\":2,\"min\":3,\"p50\":4,\"icr\":1"),
    };
    for (u32 level = 1; level <= EXPORT_LEVELS; level++) {
        const char *got = at_level(full, level);
        HOST_CHECK(strcmp(got, expected[level - 1]) == 0, "level %u: %s", level, got);
        /* What was shortened before becomes the same. */
        char once[1024];
        strcpy(once, at_level(full, 1));
        HOST_CHECK(strcmp(at_level(once, level), expected[level - 1]) == 0, "level 1, then %u", level);
    }
}

HOST_TEST(whole_records)
{
    static const struct {
        const char *line;
        u32 last; /* level at which it is still there */
    } cases[] = {
        {BENCH("phase.wait", ",\"n\":1"), 1},
        {BENCH("release", ",\"n\":1"), 4},
        {BENCH("responder", ",\"n\":1"), EXPORT_LEVELS},
        {"{\"volley\":1,\"type\":\"machine\",\"cpu\":\"a \\\"b\\\\\",\"ids\":[1,2],\"x\":true}",
         EXPORT_LEVELS},
        {"{\"volley\":1,\"type\":\"test\",\"name\":\"x\"}", 0},
        {"{\"volley\":1,\"type\":\"raw\",\"samples\":[1,2,3]}", 0},
        {"{\"volley\":1,\"type\":\"bench\",\"bench\":\"phase.\",\"max_of\":7}", EXPORT_LEVELS},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        for (u32 level = 1; level <= EXPORT_LEVELS; level++) {
            const char *got = at_level(cases[i].line, level);
            HOST_CHECK(strcmp(got, level <= cases[i].last ? cases[i].line : "") == 0, "level %u: %s", level,
                       got);
        }
}

/* No line leads out of its buffer. */
HOST_TEST(cut_and_changed_lines)
{
    static const char line[] = "{\"volley\":1,\"type\":\"bench\",\"a\":\"b\\\"c\",\"l\":[1,2],\"p999\":4,"
                               "\"metric\":\"release\",\"z\":null}";
    u64 x = 88172645463325252ull;
    for (u32 turn = 0; turn < 40000; turn++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        size_t n = turn < sizeof(line) ? turn : x % sizeof(line);
        char *in = malloc(n ? n : 1), *out = malloc(n ? n : 1);
        memcpy(in, line, n);
        if (turn >= sizeof(line) && n)
            in[(x >> 8) % n] = "\"\\[]{},:x"[(x >> 40) % 9];
        size_t written = export_record(in, n, 1 + (u32)(x >> 60) % EXPORT_LEVELS, out);
        HOST_CHECK(written <= n, "%zu of %zu bytes", written, n);
        free(in);
        free(out);
    }
}
