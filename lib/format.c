/* printf formats for the kernel: stb_sprintf, with its floating point left out. */
#include "lib/format.h"

#include "lib/log.h"

#define STB_SPRINTF_IMPLEMENTATION
#define STB_SPRINTF_NOFLOAT
#define STB_SPRINTF_STATIC
#define STB_SPRINTF_NOUNALIGNED
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function" /* of its five entry points we use two */
#include <stb/stb_sprintf.h>
#pragma GCC diagnostic pop

_Static_assert(STB_SPRINTF_MIN == 512, "lib/format.h promises pieces of at most 512 bytes");

int vformat(char *out, size_t size, const char *fmt, va_list ap)
{
    /* stb_sprintf takes an int, and for size 0 wants no buffer either: it would write before its start. */
    int count = size > INT32_MAX ? INT32_MAX : (int)size;
    return stbsp_vsnprintf(count ? out : NULL, count, fmt, ap);
}

int format(char *out, size_t size, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vformat(out, size, fmt, ap);
    va_end(ap);
    return n;
}

struct pieces {
    void (*out)(void *arg, const char *text, size_t n);
    void *arg;
    size_t length;
    char text[STB_SPRINTF_MIN];
};

static char *piece_done(const char *text, void *user, int n)
{
    struct pieces *p = user;
    p->length += (size_t)n;
    p->out(p->arg, text, (size_t)n);
    return p->text;
}

size_t vformat_pieces(void (*out)(void *arg, const char *text, size_t n), void *arg, const char *fmt,
                      va_list ap)
{
    struct pieces p;
    p.out = out;
    p.arg = arg;
    p.length = 0;
    stbsp_vsprintfcb(piece_done, &p, p.text, fmt, ap);
    return p.length;
}
