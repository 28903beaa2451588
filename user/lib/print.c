#include "user/lib/print.h"

#include "user/lib/string.h"
#include "user/lib/sys.h"

struct line {
    char *text;
    u32 size, n;
};

static void put(struct line *l, char c)
{
    if (l->n < l->size)
        l->text[l->n++] = c;
}

static void put_number(struct line *l, u64 v, u32 base, u32 width, char pad)
{
    char digit[20];
    u32 n = 0;
    do {
        digit[n++] = "0123456789abcdef"[v % base];
        v /= base;
    } while (v);
    for (; width > n; width--)
        put(l, pad);
    while (n > 0)
        put(l, digit[--n]);
}

/* One conversion; returns what stands behind it. */
static const char *convert(struct line *l, const char *f, va_list *ap)
{
    u32 width = 0, longs = 0;
    char pad = *f == '0' ? '0' : ' ';
    for (; *f >= '0' && *f <= '9'; f++)
        width = width * 10 + (u32)(*f - '0');
    for (; *f == 'l'; f++)
        longs++;
    switch (*f) {
    case 's':
        for (const char *s = va_arg(*ap, const char *); *s; s++)
            put(l, *s);
        break;
    case 'd': {
        s64 v = longs ? va_arg(*ap, s64) : va_arg(*ap, s32);
        if (v < 0)
            put(l, '-');
        put_number(l, v < 0 ? -(u64)v : (u64)v, 10, width, pad);
        break;
    }
    case 'u':
    case 'x':
        put_number(l, longs ? va_arg(*ap, u64) : va_arg(*ap, u32), *f == 'x' ? 16 : 10, width, pad);
        break;
    case '%':
        put(l, '%');
        break;
    default: /* the compiler knows more formats than this does: a mistake shows */
        put(l, '?');
        return *f ? f + 1 : f;
    }
    return f + 1;
}

u32 vprint(char *out, u32 size, const char *format, va_list from)
{
    struct line l = {out, size - 1, 0};
    va_list ap;
    va_copy(ap, from);
    for (const char *f = format; *f;) {
        if (*f == '%')
            f = convert(&l, f + 1, &ap);
        else
            put(&l, *f++);
    }
    va_end(ap);
    out[l.n] = 0;
    return l.n;
}

void vsay(const char *format, va_list ap)
{
    char text[SAY_MAX];
    s64 result = sys_log(text, vprint(text, sizeof(text), format, ap));
    (void)result; /* there is nowhere else to say it */
}

void say(const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    vsay(format, ap);
    va_end(ap);
}

const char *sys_error_name(s64 result)
{
    static const char *const names[] = {
        "success",
        [SYS_ERR_NOMEM] = "out of memory",
        [SYS_ERR_INVAL] = "invalid",
        [SYS_ERR_RANGE] = "out of range",
        [SYS_ERR_EXIST] = "exists",
        [SYS_ERR_ABSENT] = "absent",
        [SYS_ERR_FULL] = "full",
        [SYS_ERR_TIMEOUT] = "timeout",
        [SYS_ERR_UNSUPPORTED] = "unsupported",
        [SYS_ERR_FAULT] = "fault",
        [SYS_ERR_PERM] = "not permitted",
        [SYS_ERR_NOSYS] = "no such call",
    };
    if (result > 0)
        return names[0];
    return -(u64)result < ARRAY_SIZE(names) ? names[-result] : "an unknown error";
}
