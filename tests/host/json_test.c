/* Records: the exact form, escaping of every byte (read back by a reader of JSON strings), and the record that is too long.
 *
 * sources: lib/json.c lib/format.c
 * sanitize: address,undefined
 */
#include "tests/host/host.h"

#include "lib/json.h"
#include "lib/log.h"

static char printed[3 * JSON_MAX], logged[512];
static u32 lines;

void print(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(printed, sizeof(printed), fmt, ap);
    va_end(ap);
    lines++;
}

void log_line(enum log_level l, const char *fmt, ...)
{
    (void)l;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(logged, sizeof(logged), fmt, ap);
    va_end(ap);
}

HOST_TEST(one_of_each)
{
    struct json j;
    u64 list[] = {1, 2, ~0ull};
    json_begin(&j, "bench");
    json_str(&j, "policy", "sync");
    json_str(&j, "none", NULL);
    json_u64(&j, "zero", 0);
    json_u64(&j, "max", ~0ull);
    json_s64(&j, "min", INT64_MIN);
    json_s64(&j, "plus", 5);
    json_bool(&j, "yes", true);
    json_bool(&j, "no", false);
    json_u64_list(&j, "list", list, 3);
    json_u64_list(&j, "empty", list, 0);
    lines = 0;
    HOST_CHECK(json_end(&j), "it fits");
    HOST_CHECK(lines == 1, "%u calls of print: a record must be one", lines);
    static const char expected[] = "{\"volley\":1,\"type\":\"bench\",\"policy\":\"sync\",\"none\":null,"
                                   "\"zero\":0,\"max\":18446744073709551615,"
                                   "\"min\":-9223372036854775808,\"plus\":5,\"yes\":true,\"no\":false,"
                                   "\"list\":[1,2,18446744073709551615],"
                                   "\"empty\":[]}\n";
    HOST_CHECK(strcmp(printed, expected) == 0, "%s", printed);
}

/* Reads the JSON string at s into out, bytes from \u00XX; its length, or -1 if it is not a string in plain ASCII. */
static int read_string(const char *s, u8 *out)
{
    int n = 0;
    if (*s++ != '"')
        return -1;
    for (; *s != '"'; s++) {
        if (*s < 0x20 || *s > 0x7e)
            return -1;
        if (*s != '\\') {
            out[n++] = (u8)*s;
        } else if (s[1] == '"' || s[1] == '\\') {
            out[n++] = (u8) * ++s;
        } else {
            unsigned v;
            if (sscanf(s, "\\u%4x", &v) != 1 || v > 255)
                return -1;
            out[n++] = (u8)v;
            s += 5;
        }
    }
    return s[1] == '}' ? n : -1;
}

HOST_TEST(every_byte_comes_back)
{
    srand(3);
    for (u32 turn = 0; turn < 2000; turn++) {
        char text[64];
        u8 back[128];
        u32 n = turn < 255 ? 1 : (u32)rand() % 63;
        for (u32 i = 0; i < n; i++)
            text[i] = (char)(turn < 255 ? turn + 1 : 1 + (u32)rand() % 255);
        text[n] = 0;
        struct json j;
        json_begin(&j, "t");
        json_str(&j, "k", text);
        HOST_CHECK(json_end(&j), "it fits");
        static const char head[] = "{\"volley\":1,\"type\":\"t\",\"k\":";
        HOST_CHECK(strncmp(printed, head, sizeof(head) - 1) == 0, "%s", printed);
        int got = read_string(printed + sizeof(head) - 1, back);
        HOST_CHECK(got == (int)n && memcmp(back, text, n) == 0, "%d of %u characters in %s", got, n, printed);
    }
}

HOST_TEST(up_to_the_last_byte_and_no_further)
{
    for (u32 n = JSON_MAX - 80; n < JSON_MAX + 80; n++) {
        static char text[JSON_MAX + 80];
        memset(text, 'x', n);
        text[n] = 0;
        struct json j;
        json_begin(&j, "bench");
        json_str(&j, "k", text);
        size_t whole = strlen("{\"volley\":1,\"type\":\"bench\",\"k\":\"\"}") + n;
        printed[0] = logged[0] = 0;
        lines = 0;
        bool ok = json_end(&j);
        HOST_CHECK(ok == (whole < JSON_MAX) && lines == 1, "a record of %zu bytes: %d, %u lines", whole, ok,
                   lines);
        if (ok) {
            HOST_CHECK(strlen(printed) == whole + 1, "%zu bytes printed, not %zu", strlen(printed),
                       whole + 1);
            continue;
        }
        char expected[128];
        snprintf(expected, sizeof(expected),
                 "{\"volley\":1,\"type\":\"error\",\"what\":\"record too "
                 "long\",\"record\":\"bench\",\"bytes\":%zu}\n",
                 whole);
        HOST_CHECK(strcmp(printed, expected) == 0, "%s", printed);
        HOST_CHECK(strstr(logged, "bench") != NULL, "the log names it: %s", logged);
    }
}

HOST_TEST(much_too_long_in_small_pieces)
{
    struct json j;
    json_begin(&j, "bench");
    for (u32 i = 0; i < 10 * JSON_MAX; i++)
        json_u64(&j, "k", i);
    HOST_CHECK(!json_end(&j) && strstr(printed, "\"type\":\"error\"") && strlen(printed) < 200, "%s",
               printed);
}
