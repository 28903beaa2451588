#include "lib/param.h"

#include "lib/string.h"

/* Reads one number at *s and moves *s behind it. False: no digit there, or more than 64 bits. */
static bool take_u64(const char **s, u64 *out)
{
    u64 base = 10, n = 0;
    const char *at = *s;
    if (at[0] == '0' && (at[1] == 'x' || at[1] == 'X')) {
        base = 16;
        at += 2;
    }
    const char *digits = at;
    for (;; at++) {
        u64 digit;
        if (*at >= '0' && *at <= '9')
            digit = (u64)(*at - '0');
        else if (base == 16 && (*at | 0x20) >= 'a' && (*at | 0x20) <= 'f')
            digit = (u64)((*at | 0x20) - 'a') + 10;
        else
            break;
        if (__builtin_mul_overflow(n, base, &n) || __builtin_add_overflow(n, digit, &n))
            return false;
    }
    if (at == digits)
        return false;
    *s = at;
    *out = n;
    return true;
}

bool parse_u64(const char *s, u64 *out)
{
    u64 n;
    if (!take_u64(&s, &n) || *s)
        return false;
    *out = n;
    return true;
}

bool parse_on_off(const char *s, bool *out)
{
    static const char *const on[] = {"", "on", "yes", "1"}, *const off[] = {"off", "no", "0"};
    for (size_t i = 0; i < ARRAY_SIZE(on); i++)
        if (strcmp(s, on[i]) == 0) {
            *out = true;
            return true;
        }
    for (size_t i = 0; i < ARRAY_SIZE(off); i++)
        if (strcmp(s, off[i]) == 0) {
            *out = false;
            return true;
        }
    return false;
}

u32 parse_u64_list(const char *s, u64 *out, u32 max, u64 lo, u64 hi)
{
    u32 count = 0;
    for (;;) {
        u64 first, last;
        if (!take_u64(&s, &first))
            return 0;
        last = first;
        if (*s == '-') {
            s++;
            if (!take_u64(&s, &last))
                return 0;
        }
        if (first < lo || last > hi || first > last || last - first >= max - count)
            return 0;
        for (u64 n = first;; n++) {
            out[count++] = n;
            if (n == last)
                break;
        }
        if (!*s)
            return count;
        if (*s++ != ',')
            return 0;
    }
}
