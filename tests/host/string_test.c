/* The kernel's memory and string functions against the C library's, over random lengths, offsets and overlaps.
 *
 * sources:
 * sanitize: address,undefined
 */
#include "tests/host/host.h"

/* lib/string.c once more, whole, under names that are free. */
#define memcpy  volley_memcpy
#define memmove volley_memmove
#define memset  volley_memset
#define memcmp  volley_memcmp
#define strlen  volley_strlen
#define strcmp  volley_strcmp
#define strncmp volley_strncmp
#define strchr  volley_strchr
#define STRING_UNDER_TEST
#include "lib/string.c"
#undef memcpy
#undef memmove
#undef memset
#undef memcmp
#undef strlen
#undef strcmp
#undef strncmp
#undef strchr

#define SPACE 600u
#define TURNS 20000u

static u8 ours[SPACE], theirs[SPACE];

static u32 below(u32 n)
{
    return (u32)rand() % n;
}

static void fill(void)
{
    for (u32 i = 0; i < SPACE; i++)
        ours[i] = theirs[i] = (u8)rand();
}

static void check_same(const char *what, u32 to, u32 from, u32 n)
{
    HOST_CHECK(memcmp(ours, theirs, SPACE) == 0, "%s to %u from %u, %u bytes", what, to, from, n);
}

HOST_TEST(copies_and_fills)
{
    srand(1);
    for (u32 turn = 0; turn < TURNS; turn++) {
        u32 n = turn & 1 ? below(20) : below(SPACE / 2), to = below(SPACE - n + 1),
            from = below(SPACE - n + 1);
        fill();
        HOST_CHECK(volley_memmove(ours + to, ours + from, n) == ours + to, "memmove's result");
        memmove(theirs + to, theirs + from, n);
        check_same("memmove", to, from, n);

        int byte = rand();
        HOST_CHECK(volley_memset(ours + to, byte, n) == ours + to, "memset's result");
        memset(theirs + to, byte, n);
        check_same("memset", to, 0, n);

        u32 half = SPACE / 2;
        n = MIN(n, half);
        to = half + below(half - n + 1);
        from = below(half - n + 1);
        HOST_CHECK(volley_memcpy(ours + to, ours + from, n) == ours + to, "memcpy's result");
        memcpy(theirs + to, theirs + from, n);
        check_same("memcpy", to, from, n);
    }
}

static int sign(int n)
{
    return (n > 0) - (n < 0);
}

HOST_TEST(comparisons)
{
    srand(2);
    for (u32 turn = 0; turn < TURNS; turn++) {
        /* Few letters, and a byte above 0x7f, so that equal beginnings and signs matter. */
        static const char letters[] = "ab\xff";
        char a[12], b[12];
        u32 la = below(11), lb = below(11);
        for (u32 i = 0; i < la; i++)
            a[i] = letters[below(3)];
        for (u32 i = 0; i < lb; i++)
            b[i] = letters[below(3)];
        a[la] = b[lb] = 0;
        u32 n = below(12);
        HOST_CHECK(volley_strlen(a) == la, "length of %s", a);
        HOST_CHECK(sign(volley_strcmp(a, b)) == sign(strcmp(a, b)), "%s with %s", a, b);
        HOST_CHECK(sign(volley_strncmp(a, b, n)) == sign(strncmp(a, b, n)), "%s with %s, %u", a, b, n);
        u32 both = MIN(MIN(la, lb), n);
        HOST_CHECK(sign(volley_memcmp(a, b, both)) == sign(memcmp(a, b, both)), "%s with %s, %u", a, b, both);
        HOST_CHECK(volley_strchr(a, 'b') == strchr(a, 'b'), "b in %s", a);
        HOST_CHECK(volley_strchr(a, 0) == a + la, "the end of %s", a);
    }
}

HOST_TEST(string_copy_always_ends)
{
    char to[4];
    HOST_CHECK(string_copy(to, sizeof(to), "abc") && strcmp(to, "abc") == 0, "it fits: %s", to);
    HOST_CHECK(!string_copy(to, sizeof(to), "abcd") && strcmp(to, "abc") == 0, "it does not: %s", to);
    HOST_CHECK(string_copy(to, 1, "") && to[0] == 0, "nothing in one byte");
    HOST_CHECK(!string_copy(to, 1, "x") && to[0] == 0, "something in one byte");
}

HOST_TEST(every_error_has_a_name)
{
    for (err_t e = ERR_OK; e <= ERR_MALFORMED; e++) {
        HOST_CHECK(strcmp(err_name(e), "unknown error") != 0, "error %d", e);
        for (err_t other = ERR_OK; other < e; other++)
            HOST_CHECK(strcmp(err_name(e), err_name(other)) != 0, "errors %d and %d", e, other);
    }
    HOST_CHECK(strcmp(err_name((err_t)99), "unknown error") == 0, "99 is %s", err_name((err_t)99));
}
