/* format() against the C library's snprintf, bounds, the pieces that print() is made of, and where stb_sprintf differs.
 *
 * sources: lib/format.c
 * sanitize: address,undefined
 */
#include "tests/host/host.h"

#include "lib/format.h"
#include "lib/log.h"

/* The same arguments to both; also into every size up to the whole. */
#define SAME(...)                                                                                            \
    do {                                                                                                     \
        char ours[1400], theirs[1400];                                                                       \
        int n = format(ours, sizeof(ours), __VA_ARGS__), m = snprintf(theirs, sizeof(theirs), __VA_ARGS__);  \
        HOST_CHECK(n == m && strcmp(ours, theirs) == 0, "ours %d \"%s\", C's %d \"%s\"", n, ours, m,         \
                   theirs);                                                                                  \
        for (size_t size = 0; size <= (size_t)m + 1; size += 1 + size / 16) {                                \
            char *cut = malloc(size ? size : 1);                                                             \
            cut[0] = 'x';                                                                                    \
            n = format(cut, size, __VA_ARGS__);                                                              \
            HOST_CHECK(n == m, "the length in %zu bytes is %d, not %d", size, n, m);                         \
            if (size)                                                                                        \
                HOST_CHECK(strlen(cut) == MIN(size - 1, (size_t)m) &&                                        \
                               strncmp(cut, theirs, strlen(cut)) == 0,                                       \
                           "in %zu bytes: \"%s\"", size, cut);                                               \
            else                                                                                             \
                HOST_CHECK(cut[0] == 'x', "size 0 writes nothing");                                          \
            free(cut);                                                                                       \
        }                                                                                                    \
    } while (0)

HOST_TEST(like_the_c_library)
{
    SAME("plain");
    SAME("%s and %s", "one", "");
    SAME("%c%c%%", 'a', 'b');
    SAME("%d %d %d %i", 0, -1, 2147483647, -2147483647);
    SAME("%u %u", 0u, ~0u);
    SAME("%lu %llu %zu", ~0ul, ~0ull, (size_t)12345678901ull);
    SAME("%ld %lld", -1234567890123l, -9223372036854775807ll);
    SAME("%x %X %lx %llx", 0xbeefu, 0xbeefu, 0xdeadbeefcafeul, ~0ull);
    SAME("%08x|%8x|%-8x|%016llx", 0x12u, 0x12u, 0x12u, 0x1234ull);
    SAME("%#x|%#llx", 0x12u, 0xffffffff80000000ull);
    SAME("%5d|%-5d|%05d|%+d", 42, 42, -42, 42);
    SAME("%10s|%-10s|%.3s|%10.2s", "right", "left", "cut short", "both");
    SAME("%*d|%-*d|%.*s", 6, 7, 6, 7, 2, "abc");
    SAME("%36s|%-36s|", "a", "b");
}

HOST_TEST(long_texts_cross_pieces)
{
    static char text[1301];
    memset(text, 'q', sizeof(text) - 1);
    SAME("%s", text);
    SAME("%d%s%d", 1, text, 2);
    SAME("%600d", 3);
}

HOST_TEST(where_it_differs)
{
    char out[64];
    format(out, sizeof(out), "%'u", 1234567u);
    HOST_CHECK(strcmp(out, "1,234,567") == 0, "thousands: %s", out);
    format(out, sizeof(out), "%p", (void *)0x1234);
    HOST_CHECK(strcmp(out, "0000000000001234") == 0, "a pointer: %s", out);
    const char *volatile nothing = NULL;
    format(out, sizeof(out), "%s", nothing);
    HOST_CHECK(strcmp(out, "null") == 0, "a null string: %s", out);
}

struct sum {
    char text[4096];
    size_t n, pieces, longest;
};

static void take(void *arg, const char *text, size_t n)
{
    struct sum *s = arg;
    memcpy(s->text + s->n, text, n);
    s->n += n;
    s->pieces++;
    s->longest = MAX(s->longest, n);
}

static size_t pieces(struct sum *s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    size_t n = vformat_pieces(take, s, fmt, ap);
    va_end(ap);
    return n;
}

HOST_TEST(pieces_add_up)
{
    static struct sum s;
    static char text[2001];
    memset(text, 'z', sizeof(text) - 1);
    size_t n = pieces(&s, "<%s>%d", text, 17);
    HOST_CHECK(n == 2004 && s.n == n, "%zu said, %zu given", n, s.n);
    HOST_CHECK(s.text[0] == '<' && memcmp(s.text + 1, text, 2000) == 0 &&
                   memcmp(s.text + 2001, ">17", 3) == 0,
               "the text is whole");
    HOST_CHECK(s.pieces > 3 && s.longest <= 512, "%zu pieces, the longest %zu", s.pieces, s.longest);

    memset(&s, 0, sizeof(s));
    HOST_CHECK(pieces(&s, "%s", "") == 0 && s.n == 0, "nothing gives nothing");
}
