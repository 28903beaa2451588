#include "dev/terminal.h"

#include "lib/assert.h"

enum state { TEXT, UTF8, ESCAPE, SEQUENCE };

#define GREY 7u
#define TAB  8u

static u32 *screen_row(const struct terminal *t, u32 row)
{
    return t->cell + (u64)((t->first + row) % t->lines) * t->columns;
}

static u32 blank(const struct terminal *t)
{
    return CELL(' ', GREY, t->background);
}

static void erase(const struct terminal *t, u32 row, u32 from, u32 to)
{
    u32 *c = screen_row(t, row);
    for (u32 i = from; i < to; i++)
        c[i] = blank(t);
}

void terminal_init(struct terminal *t, u32 columns, u32 rows, u32 lines, u32 *cell)
{
    ASSERT(columns && rows && lines >= rows, "a terminal has room for its screen");
    *t =
        (struct terminal){.columns = columns, .rows = rows, .lines = lines, .foreground = GREY, .cell = cell};
    for (u64 i = 0; i < (u64)lines * columns; i++)
        cell[i] = blank(t);
}

static void line_feed(struct terminal *t)
{
    t->column = 0;
    if (t->row + 1 < t->rows) {
        t->row++;
        return;
    }
    t->first = (t->first + 1) % t->lines;
    if (t->stored < t->lines - t->rows)
        t->stored++;
    erase(t, t->row, 0, t->columns);
}

static void put(struct terminal *t, u32 code)
{
    if (t->column == t->columns)
        line_feed(t);
    u32 fg = t->foreground + (t->bright && t->foreground < 8 ? 8 : 0), bg = t->background;
    screen_row(t, t->row)[t->column++] = t->reverse ? CELL(code, bg, fg) : CELL(code, fg, bg);
}

static void control(struct terminal *t, u8 c)
{
    switch (c) {
    case '\n':
        line_feed(t);
        break;
    case '\r':
        t->column = 0;
        break;
    case '\b':
        t->column -= t->column > 0;
        break;
    case '\t':
        t->column = MIN(ALIGN_UP(t->column + 1, TAB), t->columns - 1);
        break;
    default:
        break;
    }
}

/* ---- sequences ---- */

static u32 parameter(const struct terminal *t, u32 i, u32 otherwise)
{
    return i < t->parameters && t->parameter[i] ? t->parameter[i] : otherwise;
}

static void set_colour(struct terminal *t, u32 v)
{
    if (v == 0) {
        t->foreground = GREY;
        t->background = 0;
        t->bright = t->reverse = false;
    } else if (v == 1 || v == 22) {
        t->bright = v == 1;
    } else if (v == 7 || v == 27) {
        t->reverse = v == 7;
    } else if (v >= 30 && v <= 37) {
        t->foreground = v - 30;
    } else if (v == 39) {
        t->foreground = GREY;
    } else if (v >= 40 && v <= 47) {
        t->background = v - 40;
    } else if (v == 49) {
        t->background = 0;
    } else if (v >= 90 && v <= 97) {
        t->foreground = v - 90 + 8;
    } else if (v >= 100 && v <= 107) {
        t->background = v - 100 + 8;
    }
}

static void erase_part(const struct terminal *t, bool whole_screen, u32 how)
{
    u32 column = MIN(t->column, t->columns);
    u32 from = how == 0 ? column : 0, to = how == 1 ? MIN(column + 1, t->columns) : t->columns;
    if (how > 2)
        return;
    erase(t, t->row, from, to);
    for (u32 r = 0; whole_screen && r < t->rows; r++)
        if (how == 2 || (how == 0 ? r > t->row : r < t->row))
            erase(t, r, 0, t->columns);
}

static void move(struct terminal *t, s64 column, s64 row)
{
    t->column = (u32)MIN(MAX(column, 0), (s64)t->columns - 1);
    t->row = (u32)MIN(MAX(row, 0), (s64)t->rows - 1);
}

static void sequence(struct terminal *t, u8 end)
{
    s64 n = parameter(t, 0, 1), column = MIN(t->column, t->columns - 1), row = t->row;
    switch (end) {
    case 'A':
        move(t, column, row - n);
        break;
    case 'B':
        move(t, column, row + n);
        break;
    case 'C':
        move(t, column + n, row);
        break;
    case 'D':
        move(t, column - n, row);
        break;
    case 'G':
        move(t, n - 1, row);
        break;
    case 'H':
        move(t, (s64)parameter(t, 1, 1) - 1, n - 1);
        break;
    case 'J':
    case 'K':
        erase_part(t, end == 'J', parameter(t, 0, 0));
        break;
    case 'm':
        for (u32 i = 0; i < MAX(t->parameters, 1u); i++)
            set_colour(t, parameter(t, i, 0));
        break;
    default:
        break;
    }
}

static void in_sequence(struct terminal *t, u8 c)
{
    u32 *p = &t->parameter[t->parameters ? t->parameters - 1 : 0];
    if (c >= '0' && c <= '9') {
        t->parameters = MAX(t->parameters, 1u);
        if (*p < 100000)
            *p = *p * 10 + (c - '0');
    } else if (c == ';') {
        t->parameters = MAX(t->parameters, 1u);
        if (t->parameters < ARRAY_SIZE(t->parameter))
            t->parameter[t->parameters++] = 0;
    } else if (c >= '@' && c <= '~') {
        sequence(t, c);
        t->state = TEXT;
    } else if (c < ' ') {
        control(t, c); /* a control character in the middle is obeyed at once, as by a VT100 */
    }
}

/* ---- text ---- */

static void first_byte(struct terminal *t, u8 c)
{
    t->state = TEXT;
    if (c == 0x1b) {
        t->state = ESCAPE;
    } else if (c < ' ' || c == 0x7f) {
        control(t, c);
    } else if (c < 0x80) {
        put(t, c);
    } else if (c >= 0xc2 && c < 0xf5) {
        t->more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
        t->code = c & (0x3fu >> t->more);
        t->state = UTF8;
    } else {
        put(t, 0xfffd);
    }
}

static void byte(struct terminal *t, u8 c)
{
    switch (t->state) {
    case UTF8:
        if ((c & 0xc0) != 0x80) { /* cut short: what comes instead begins anew */
            put(t, 0xfffd);
            first_byte(t, c);
            return;
        }
        t->code = t->code << 6 | (c & 0x3fu);
        if (--t->more == 0) {
            put(t, t->code & 0x1fffff);
            t->state = TEXT;
        }
        return;
    case ESCAPE:
        t->state = c == '[' ? SEQUENCE : TEXT;
        t->parameters = t->parameter[0] = 0;
        return;
    case SEQUENCE:
        in_sequence(t, c);
        return;
    default:
        first_byte(t, c);
    }
}

void terminal_write(struct terminal *t, const char *text, size_t n)
{
    t->back = 0;
    for (size_t i = 0; i < n; i++)
        byte(t, (u8)text[i]);
}

const u32 *terminal_row(const struct terminal *t, u32 row)
{
    return t->cell + (u64)((t->first + t->lines - t->back + row) % t->lines) * t->columns;
}

void terminal_scroll(struct terminal *t, s32 lines)
{
    s64 back = (s64)t->back + lines;
    t->back = (u32)MIN(MAX(back, 0), (s64)t->stored);
}
