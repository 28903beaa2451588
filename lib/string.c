#include "lib/string.h"

#include "lib/types.h"

const char *err_name(err_t e)
{
    switch (e) {
    case ERR_OK:
        return "ok";
    case ERR_NOMEM:
        return "out of memory";
    case ERR_INVAL:
        return "invalid argument";
    case ERR_RANGE:
        return "out of range";
    case ERR_EXIST:
        return "already there";
    case ERR_ABSENT:
        return "not there";
    case ERR_FULL:
        return "no room now";
    case ERR_TIMEOUT:
        return "timed out";
    case ERR_UNSUPPORTED:
        return "not supported here";
    case ERR_MALFORMED:
        return "malformed data";
    case ERR_FAULT:
        return "memory of ring 3 is not accessible";
    case ERR_PERM:
        return "not permitted";
    }
    return "unknown error";
}

/* The host has the rest; tests/host/string_test.c compiles ours under other names. */
#if !defined(VOLLEY_HOST) || defined(STRING_UNDER_TEST)

/* The compiler calls these by name for copies that it does not expand. It must not recognise the loops below as what they
 * implement: that would be a call to themselves. The names stand in parentheses so that the macros of the header leave
 * them alone. */
#ifdef __clang__
#define NOT_A_LIBRARY_CALL __attribute__((no_builtin))
#else
#define NOT_A_LIBRARY_CALL __attribute__((optimize("no-tree-loop-distribute-patterns")))
#endif

/* Whole words first: a string instruction is one step of the machine for each element in emulators (a page is 512 steps
 * instead of 4096), and on hardware words are as fast as bytes (SDM volume 1, section 7.3.9.3). DF is 0: the ABI says so, and
 * interrupt entry clears it. */
void *(memcpy)(void *to, const void *from, size_t n)
{
    void *d = to;
    size_t words = n / 8, rest = n % 8;
    __asm__ volatile("rep movsq" : "+D"(d), "+S"(from), "+c"(words)::"memory");
    __asm__ volatile("rep movsb" : "+D"(d), "+S"(from), "+c"(rest)::"memory");
    return to;
}

NOT_A_LIBRARY_CALL void *(memmove)(void *to, const void *from, size_t n)
{
    u8 *d = to;
    const u8 *s = from;
    if ((uintptr_t)d - (uintptr_t)s >= n) {
        /* `to` lies before `from` (the difference wraps) or past its end: forwards never overtakes itself. By bytes,
         * because with less than 8 bytes between them a word would be read half overwritten. */
        __asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n)::"memory");
    } else {
        while (n--)
            d[n] = s[n];
    }
    return to;
}

void *(memset)(void *to, int byte, size_t n)
{
    void *d = to;
    u64 pattern = 0x0101010101010101ull * (u8)byte;
    size_t words = n / 8, rest = n % 8;
    __asm__ volatile("rep stosq" : "+D"(d), "+c"(words) : "a"(pattern) : "memory");
    __asm__ volatile("rep stosb" : "+D"(d), "+c"(rest) : "a"(pattern) : "memory");
    return to;
}

NOT_A_LIBRARY_CALL int(memcmp)(const void *a, const void *b, size_t n)
{
    const u8 *x = a, *y = b;
    for (size_t i = 0; i < n; i++)
        if (x[i] != y[i])
            return x[i] - y[i];
    return 0;
}

NOT_A_LIBRARY_CALL size_t(strlen)(const char *s)
{
    size_t n = 0;
    while (s[n])
        n++;
    return n;
}

NOT_A_LIBRARY_CALL int(strcmp)(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return (u8)*a - (u8)*b;
}

NOT_A_LIBRARY_CALL int(strncmp)(const char *a, const char *b, size_t n)
{
    for (; n; a++, b++, n--)
        if (*a != *b || !*a)
            return (u8)*a - (u8)*b;
    return 0;
}

NOT_A_LIBRARY_CALL char *(strchr)(const char *s, int c)
{
    for (;; s++) {
        if (*s == (char)c)
            return (char *)s;
        if (!*s)
            return NULL;
    }
}

#endif
