#include "dev/keymap.h"

#include "lib/string.h"

const char *const keymap_name[KEYMAP_LAYOUTS] = {"us", "uk", "de"};

/* The keys of scan codes 02h to 35h and 56h (the key between left Shift and Z), in three states. What the prompt cannot take
 * (anything but ASCII) is a space in place of a letter, and types nothing. */
#define FIRST 0x02u
static const char plain[KEYMAP_LAYOUTS][53] = {
    "1234567890-=\b\tqwertyuiop[]\r asdfghjkl;'` \\zxcvbnm,./",
    "1234567890-=\b\tqwertyuiop[]\r asdfghjkl;'` #zxcvbnm,./",
    "1234567890  \b\tqwertzuiop +\r asdfghjkl  ^ #yxcvbnm,.-",
};
static const char shifted[KEYMAP_LAYOUTS][53] = {
    "!@#$%^&*()_+\b\tQWERTYUIOP{}\r ASDFGHJKL:\"~ |ZXCVBNM<>?",
    "!\" $%^&*()_+\b\tQWERTYUIOP{}\r ASDFGHJKL:@  ~ZXCVBNM<>?",
    "!\" $%&/()=?`\b\tQWERTZUIOP *\r ASDFGHJKL    'YXCVBNM;:_",
};
/* Alt Gr. */
static const struct {
    u8 layout, scan;
    char c;
} third[] = {
    {KEYMAP_DE, 0x08, '{'},  {KEYMAP_DE, 0x09, '['}, {KEYMAP_DE, 0x0a, ']'}, {KEYMAP_DE, 0x0b, '}'},
    {KEYMAP_DE, 0x0c, '\\'}, {KEYMAP_DE, 0x10, '@'}, {KEYMAP_DE, 0x1b, '~'}, {KEYMAP_DE, 0x56, '|'},
};
static const struct {
    u8 layout;
    char plain, shifted;
} between[] = {{KEYMAP_US, '\\', '|'}, {KEYMAP_UK, '\\', '|'}, {KEYMAP_DE, '<', '>'}};

enum {
    SCAN_EXTENDED = 0xe0,
    SCAN_PAUSE = 0xe1,
    SCAN_RELEASED = 0x80,
    SCAN_ESCAPE = 0x01,
    SCAN_CONTROL = 0x1d,
    SCAN_SHIFT_LEFT = 0x2a,
    SCAN_SLASH = 0x35,
    SCAN_SHIFT_RIGHT = 0x36,
    SCAN_ALT = 0x38,
    SCAN_SPACE = 0x39,
    SCAN_CAPS = 0x3a,
    SCAN_BETWEEN = 0x56,
};

static struct keymap_out text(const char *s)
{
    struct keymap_out o = {.length = (u32)strlen(s)};
    memcpy(o.text, s, o.length);
    return o;
}

static struct keymap_out byte(char c)
{
    return (struct keymap_out){.text = {c}, .length = 1};
}

/* Keys that are extended, or lie on the pad of digits (which is the same keys to us: Num Lock is not looked at). */
static struct keymap_out function_key(const struct keymap *k, u8 scan)
{
    switch (scan) {
    case 0x48:
        return text("\x1b[A");
    case 0x50:
        return text("\x1b[B");
    case 0x4d:
        return text("\x1b[C");
    case 0x4b:
        return text("\x1b[D");
    case 0x47:
        return text("\x1b[H");
    case 0x4f:
        return text("\x1b[F");
    case 0x53:
        return text("\x1b[3~");
    case 0x49:
    case 0x51:
        return (struct keymap_out){.page = !k->shift ? 0 : scan == 0x49 ? 1 : -1};
    case 0x1c:
        return byte('\r');
    case SCAN_SLASH:
        return byte('/');
    default:
        return (struct keymap_out){0};
    }
}

static char third_level(const struct keymap *k, u8 scan)
{
    for (u32 i = 0; i < ARRAY_SIZE(third); i++)
        if (third[i].layout == k->layout && third[i].scan == scan)
            return third[i].c;
    return 0;
}

static char character(const struct keymap *k, u8 scan)
{
    if (scan == SCAN_SPACE)
        return ' ';
    if (k->alt_gr)
        return third_level(k, scan);
    if (scan == SCAN_BETWEEN)
        return k->shift ? between[k->layout].shifted : between[k->layout].plain;
    if (scan < FIRST || scan > SCAN_SLASH)
        return 0;
    char c = plain[k->layout][scan - FIRST];
    bool letter = c >= 'a' && c <= 'z';
    if (k->shift != (k->caps && letter))
        c = shifted[k->layout][scan - FIRST];
    return c == ' ' ? 0 : c;
}

static void modifier(struct keymap *k, u8 scan, bool pressed)
{
    if (scan == SCAN_SHIFT_LEFT || scan == SCAN_SHIFT_RIGHT) {
        if (!k->extended) /* an extended one surrounds other keys and is not pressed by anybody */
            k->shift = pressed;
    } else if (scan == SCAN_CONTROL) {
        k->control = pressed;
    } else if (scan == SCAN_ALT && k->extended) {
        k->alt_gr = pressed;
    } else if (scan == SCAN_CAPS && pressed) {
        k->caps = !k->caps;
    }
}

struct keymap_out keymap_scan(struct keymap *k, u8 scan)
{
    struct keymap_out none = {0};
    if (k->skip) {
        k->skip--;
        return none;
    }
    if (scan == SCAN_EXTENDED) {
        k->extended = true;
        return none;
    }
    if (scan == SCAN_PAUSE) {
        k->skip = 2;
        return none;
    }
    bool pressed = !(scan & SCAN_RELEASED);
    scan &= (u8)~SCAN_RELEASED;
    modifier(k, scan, pressed);
    bool extended = k->extended;
    k->extended = false;
    if (!pressed || (extended && scan == SCAN_SHIFT_LEFT))
        return none;
    if (extended || (scan >= 0x47 && scan <= 0x53))
        return function_key(k, scan);
    if (scan == SCAN_ESCAPE)
        return byte(0x1b);
    char c = character(k, scan);
    if (k->control && c >= '@' && c <= '~')
        c &= 0x1f;
    return c ? byte(c == '\b' ? 0x7f : c) : none;
}
