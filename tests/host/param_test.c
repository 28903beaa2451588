/* The helpers that read numbers, switches and lists out of the command line.
 *
 * sources: lib/param.c
 * sanitize: address,undefined
 */
#include "tests/host/host.h"

#include "lib/param.h"

HOST_TEST(numbers)
{
    static const struct {
        const char *text;
        bool ok;
        u64 value;
    } cases[] = {
        {"0", true, 0},
        {"7", true, 7},
        {"0007", true, 7},
        {"0x0", true, 0},
        {"0xfFaA09", true, 0xffaa09},
        {"0XFF", true, 255},
        {"18446744073709551615", true, ~0ull},
        {"0xffffffffffffffff", true, ~0ull},
        {"18446744073709551616", false, 0},
        {"0x10000000000000000", false, 0},
        {"99999999999999999999999", false, 0},
        {"", false, 0},
        {"0x", false, 0},
        {"x1", false, 0},
        {"-1", false, 0},
        {"+1", false, 0},
        {" 1", false, 0},
        {"1 ", false, 0},
        {"1k", false, 0},
        {"0xg", false, 0},
        {"1.5", false, 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        u64 v = 12345;
        bool ok = parse_u64(cases[i].text, &v);
        HOST_CHECK(ok == cases[i].ok, "\"%s\"", cases[i].text);
        HOST_CHECK(v == (ok ? cases[i].value : 12345), "\"%s\" gave %llu", cases[i].text,
                   (unsigned long long)v);
    }
}

HOST_TEST(switches)
{
    static const char *const on[] = {"", "on", "yes", "1"}, *const off[] = {"off", "no", "0"},
                             *const wrong[] = {"ON", "o", "2", "offf", "true"};
    bool v;
    for (size_t i = 0; i < ARRAY_SIZE(on); i++)
        HOST_CHECK((v = false, parse_on_off(on[i], &v)) && v, "\"%s\" is on", on[i]);
    for (size_t i = 0; i < ARRAY_SIZE(off); i++)
        HOST_CHECK((v = true, parse_on_off(off[i], &v)) && !v, "\"%s\" is off", off[i]);
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        v = true;
        HOST_CHECK(!parse_on_off(wrong[i], &v) && v, "\"%s\" is neither", wrong[i]);
    }
}

HOST_TEST(lists)
{
    static const struct {
        const char *text;
        u32 count; /* 0: refused; at most 4, each in 1 .. 512 */
        u64 value[4];
    } cases[] = {
        {"1", 1, {1}},
        {"1,4,10", 3, {1, 4, 10}},
        {"512,0x10", 2, {512, 16}},
        {"4,3,2,1", 4, {4, 3, 2, 1}},
        {"2-4", 3, {2, 3, 4}},
        {"2-2", 1, {2}},
        {"1-2,511-512", 4, {1, 2, 511, 512}},
        {"1,2,3,4,5", 0, {0}},
        {"1-5", 0, {0}},
        {"1-2,3-5", 0, {0}},
        {"4-2", 0, {0}},
        {"0", 0, {0}},
        {"513", 0, {0}},
        {"1,513", 0, {0}},
        {"511-513", 0, {0}},
        {"1-18446744073709551615", 0, {0}},
        {"", 0, {0}},
        {",", 0, {0}},
        {"1,", 0, {0}},
        {",1", 0, {0}},
        {"1,,2", 0, {0}},
        {"1-", 0, {0}},
        {"-2", 0, {0}},
        {"1-2-3", 0, {0}},
        {"1, 2", 0, {0}},
        {"all", 0, {0}},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        u64 *out = malloc(4 * sizeof(*out)); /* on the heap: a fifth number is caught */
        u32 n = parse_u64_list(cases[i].text, out, 4, 1, 512);
        HOST_CHECK(n == cases[i].count, "\"%s\" has %u numbers", cases[i].text, n);
        for (u32 k = 0; k < n && n == cases[i].count; k++)
            HOST_CHECK(out[k] == cases[i].value[k], "\"%s\", number %u is %llu", cases[i].text, k,
                       (unsigned long long)out[k]);
        free(out);
    }
    u64 top[2];
    HOST_CHECK(parse_u64_list("18446744073709551614-18446744073709551615", top, 2, 0, ~0ull) == 2 &&
                   top[1] == ~0ull,
               "a range up to the largest number ends");
}
