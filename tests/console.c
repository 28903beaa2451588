/* Text in and out, as compiled for the kernel: the host tests see the same sources under other flags. */
#include "kernel/clock.h"
#include "kernel/cmdline.h"
#include "kernel/command.h"
#include "kernel/idle.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/param.h"
#include "lib/string.h"
#include "lib/wait.h"
#include "tests/test.h"

static void check_format(struct test *t, const char *expected, const char *fmt, ...)
{
    char out[80];
    va_list ap;
    va_start(ap, fmt);
    int n = vformat(out, sizeof(out), fmt, ap);
    va_end(ap);
    CHECK(t, n == (int)strlen(expected) && strcmp(out, expected) == 0, "\"%s\" gave \"%s\", not \"%s\"", fmt,
          out, expected);
}

static void text_format(struct test *t)
{
    check_format(t, "-1 4294967295 18446744073709551615", "%d %u %llu", -1, ~0u, ~0ull);
    check_format(t, "ffffffff80000000|  2a|0x2a", "%llx|%4x|%#x", 0xffffffff80000000ull, 42u, 42u);
    check_format(t, "left  |  right|cu", "%-6s|%7s|%.2s", "left", "right", "cut");
    check_format(t, "1,234,567", "%'u", 1234567u);
    /* More than the six integers that travel in registers. */
    check_format(t, "1 2 3 4 5 6 7 8 9", "%d %d %d %d %d %d %d %d %d", 1, 2, 3, 4, 5, 6, 7, 8, 9);
    char small[4];
    CHECK(t, format(small, sizeof(small), "%s", "abcdef") == 6 && strcmp(small, "abc") == 0, "cut to \"%s\"",
          small);
}
TEST(text_format, "numbers and strings come out as C says");

static void text_memory(struct test *t)
{
    u8 a[64], b[64];
    for (u32 n = 0; n <= 40; n++) {
        for (u32 i = 0; i < sizeof(a); i++)
            a[i] = b[i] = (u8)i;
        memmove(a + 3, a, n); /* overlaps, upwards */
        for (u32 i = n; i-- > 0;)
            b[i + 3] = b[i];
        CHECK(t, memcmp(a, b, sizeof(a)) == 0, "%u bytes moved up by 3", n);
        memmove(a, a + 5, n); /* and downwards */
        for (u32 i = 0; i < n; i++)
            b[i] = b[i + 5];
        CHECK(t, memcmp(a, b, sizeof(a)) == 0, "%u bytes moved down by 5", n);
        memset(a + 1, 0xee, n);
        CHECK(t, a[0] == b[0] && a[n + 1] == b[n + 1] && (n == 0 || (a[1] == 0xee && a[n] == 0xee)),
              "%u bytes set", n);
        memcpy(a, b, sizeof(a));
        CHECK(t, memcmp(a, b, sizeof(a)) == 0, "all copied");
    }
    a[7] ^= 1;
    CHECK(t, memcmp(a, b, 7) == 0 && memcmp(a, b, 8) != 0, "the eighth byte differs");
    char x[] = "abc", y[] = "abd";
    CHECK(t, strcmp(x, y) < 0 && strncmp(x, y, 2) == 0 && strlen(x) == 3 && strchr(x, 'd') == NULL,
          "strings");
}
TEST(text_memory, "copying, moving over itself, filling, comparing");

static void text_params(struct test *t)
{
    u32 seen = 0;
    TABLE_FOREACH (param, struct param, p) {
        size_t n = strlen(p->key);
        CHECK(t,
              strncmp(p->help, p->key, n) == 0 &&
                  (p->help[n] == '=' || p->help[n] == ' ' || p->help[n] == '['),
              "the help of %s is \"%s\": it begins with the usage", p->key, p->help);
        TABLE_FOREACH (param, struct param, other)
            CHECK(t, other == p || strcmp(other->key, p->key) != 0, "%s is there twice", p->key);
        seen++;
    }
    CHECK(t, seen >= 3, "%u keys: quit, help and loglevel at least", seen);
    enum log_level before = log_level;
    CHECK(t, cmdline_set("loglevel", "error") && log_level == LOG_ERROR, "loglevel=error is now %u",
          log_level);
    log_level = before;
}
TEST(text_params, "the table of settings is in order, and they can be set");

static void text_commands(struct test *t)
{
    TABLE_FOREACH (command, struct command, c) {
        size_t n = strlen(c->name);
        CHECK(t, strncmp(c->usage, c->name, n) == 0 && (c->usage[n] == 0 || c->usage[n] == ' '),
              "the usage of %s is \"%s\": it begins with the name", c->name, c->usage);
        TABLE_FOREACH (command, struct command, other)
            CHECK(t, other == c || strcmp(other->name, c->name) != 0, "%s is there twice", c->name);
    }
}
TEST(text_commands, "the table of commands is in order");

static void text_record(struct test *t)
{
    struct json j;
    json_begin(&j, "test");
    json_str(&j, "name", "a\"b\\c\n\xff");
    json_u64(&j, "big", ~0ull);
    static const char expected[] =
        "{\"volley\":1,\"type\":\"test\",\"name\":\"a\\\"b\\\\c\\u000a\\u00ff\",\"big\":18446744073709551615";
    CHECK(t, j.length == strlen(expected) && memcmp(j.text, expected, j.length) == 0, "\"%.*s\"",
          (int)j.length, j.text);
}
TEST(text_record, "a record's strings are escaped");

static void idle_ends(struct test *t)
{
    if (!apic_timer_hz) {
        test_skip(t, "the APIC timer is not calibrated");
        return;
    }
    /* 100 ms each is a hundred times too long, and an emulator on a busy host gets wait_scale times that. */
    u64 limit = wait_ms(100), longest = 0, shortest = ~0ull;
    for (u32 i = 0; i < 20; i++) {
        u64 start = rdtsc();
        idle_for_a_tick();
        u64 ticks = rdtsc() - start;
        longest = MAX(longest, ticks);
        shortest = MIN(shortest, ticks);
    }
    CHECK(t, longest < limit, "one halt took %llu ns", (unsigned long long)tsc_to_ns(longest));
    /* Messages may end some of them early, but nobody sends twenty in a row now. */
    CHECK(t, longest > tsc_from_us(100), "the longest halt took %llu ns: it does not halt",
          (unsigned long long)tsc_to_ns(longest));
}
TEST(idle_ends, "the halt between two looks at the keyboard lasts about a millisecond");
