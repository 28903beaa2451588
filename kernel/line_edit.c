#include "kernel/line_edit.h"

#include "lib/log.h"
#include "lib/string.h"

#define CTRL(letter) ((letter)&0x1f)
#define ESC          0x1b
#define DEL          0x7f
#define BELL         "\a"

enum escape_state {
    ESCAPE_NONE,
    ESCAPE_STARTED, /* ESC */
    ESCAPE_CSI,     /* ESC [ : digits, then one letter */
    ESCAPE_SS3,     /* ESC O : one letter */
};

static void emit(struct line_edit *e, const char *text)
{
    e->emit(e->arg, text, strlen(text));
}

/* Columns for text; the last one stays free, where terminals differ on what happens to the cursor. */
static u32 width(const struct line_edit *e)
{
    return LINE_COLUMNS - 1 - (u32)strlen(e->prompt);
}

void line_edit_redraw(struct line_edit *e)
{
    u32 w = width(e);
    if (e->cursor < e->view)
        e->view = e->cursor;
    if (e->cursor > e->view + w)
        e->view = e->cursor - w;
    u32 shown = MIN(e->length - e->view, w);
    char out[LINE_COLUMNS + 32];
    /* ESC [ K clears to the end of the line, ESC [ n C moves n columns right (and for n = 0 moves one). */
    int n = format(out, sizeof(out), "\r%s%.*s\x1b[K", e->prompt, (int)shown, e->text + e->view);
    u32 column = (u32)strlen(e->prompt) + e->cursor - e->view;
    if (e->cursor - e->view < shown)
        n += format(out + n, sizeof(out) - (size_t)n, column ? "\r\x1b[%uC" : "\r", column);
    e->emit(e->arg, out, (size_t)n);
}

static void clear(struct line_edit *e)
{
    e->length = e->cursor = e->view = 0;
    e->text[0] = 0;
}

void line_edit_init(struct line_edit *e, const char *prompt,
                    void (*emit_fn)(void *arg, const char *text, size_t n), void *arg)
{
    memset(e, 0, sizeof(*e));
    e->prompt = prompt;
    e->emit = emit_fn;
    e->arg = arg;
}

void line_edit_start(struct line_edit *e)
{
    clear(e);
    e->back = 0;
    e->escape = ESCAPE_NONE;
    emit(e, e->prompt);
}

bool line_edit_insert(struct line_edit *e, const char *text, size_t n)
{
    if (n > LINE_MAX - e->length) {
        emit(e, BELL);
        return false;
    }
    bool at_end = e->cursor == e->length;
    memmove(e->text + e->cursor + n, e->text + e->cursor, e->length - e->cursor + 1);
    memcpy(e->text + e->cursor, text, n);
    e->length += (u32)n;
    e->cursor += (u32)n;
    /* The usual case costs the line no more than what was typed. */
    if (at_end && e->length - e->view <= width(e))
        e->emit(e->arg, text, n);
    else
        line_edit_redraw(e);
    return true;
}

/* Deletes [from, to), and leaves the cursor there. */
static void erase(struct line_edit *e, u32 from, u32 to)
{
    if (from == to) {
        emit(e, BELL);
        return;
    }
    memmove(e->text + from, e->text + to, e->length - to + 1);
    e->length -= to - from;
    e->cursor = from;
    line_edit_redraw(e);
}

static void move(struct line_edit *e, u32 to)
{
    if (to == e->cursor)
        return;
    e->cursor = to;
    line_edit_redraw(e);
}

static u32 word_start(const struct line_edit *e)
{
    u32 at = e->cursor;
    while (at && e->text[at - 1] == ' ')
        at--;
    while (at && e->text[at - 1] != ' ')
        at--;
    return at;
}

/* The line `back` lines ago; 1 is the newest. */
static const char *history_line(const struct line_edit *e, u32 back)
{
    return e->history[(e->newest + LINE_HISTORY + 1 - back) % LINE_HISTORY];
}

static void history_show(struct line_edit *e, u32 back)
{
    if (back > e->stored || back == e->back) {
        emit(e, BELL);
        return;
    }
    if (e->back == 0)
        memcpy(e->draft, e->text, sizeof(e->draft));
    e->back = back;
    memcpy(e->text, back ? history_line(e, back) : e->draft, sizeof(e->text));
    e->length = e->cursor = (u32)strlen(e->text);
    e->view = 0;
    line_edit_redraw(e);
}

static void history_add(struct line_edit *e)
{
    if (!e->length || (e->stored && strcmp(history_line(e, 1), e->text) == 0))
        return;
    e->newest = (e->newest + 1) % LINE_HISTORY;
    memcpy(e->history[e->newest], e->text, sizeof(e->text));
    e->stored = MIN(e->stored + 1, LINE_HISTORY);
}

static void up(struct line_edit *e)
{
    history_show(e, e->back + 1);
}
static void down(struct line_edit *e)
{
    history_show(e, e->back ? e->back - 1 : 0);
}
static void left(struct line_edit *e)
{
    move(e, e->cursor ? e->cursor - 1 : 0);
}
static void right(struct line_edit *e)
{
    move(e, MIN(e->cursor + 1, e->length));
}
static void home(struct line_edit *e)
{
    move(e, 0);
}
static void end(struct line_edit *e)
{
    move(e, e->length);
}
static void erase_here(struct line_edit *e)
{
    erase(e, e->cursor, MIN(e->cursor + 1, e->length));
}
static void erase_before(struct line_edit *e)
{
    erase(e, e->cursor ? e->cursor - 1 : 0, e->cursor);
}
static void erase_word(struct line_edit *e)
{
    erase(e, word_start(e), e->cursor);
}
static void erase_to_start(struct line_edit *e)
{
    erase(e, 0, e->cursor);
}
static void erase_to_end(struct line_edit *e)
{
    erase(e, e->cursor, e->length);
}

struct key {
    u32 code;
    void (*fn)(struct line_edit *e);
};
static const struct key control_keys[] = {
    {CTRL('A'), home},           {CTRL('B'), left},
    {CTRL('D'), erase_here},     {CTRL('E'), end},
    {CTRL('F'), right},          {CTRL('H'), erase_before},
    {CTRL('K'), erase_to_end},   {CTRL('L'), line_edit_redraw},
    {CTRL('N'), down},           {CTRL('P'), up},
    {CTRL('U'), erase_to_start}, {CTRL('W'), erase_word},
    {DEL, erase_before},
};
/* By the letter that ends the sequence, ESC [ A or ESC O A; and by the number of ESC [ 3 ~ (VT220 function keys). */
static const struct key letter_keys[] = {{'A', up},   {'B', down}, {'C', right},
                                         {'D', left}, {'H', home}, {'F', end}};
static const struct key number_keys[] = {{1, home}, {3, erase_here}, {4, end}, {7, home}, {8, end}};

static bool press(struct line_edit *e, const struct key *keys, size_t count, u32 code)
{
    for (size_t i = 0; i < count; i++)
        if (keys[i].code == code) {
            keys[i].fn(e);
            return true;
        }
    return false;
}

static void escape_key(struct line_edit *e, u8 c)
{
    if (e->escape == ESCAPE_STARTED) {
        e->number = 0;
        e->escape = c == '[' ? ESCAPE_CSI : c == 'O' ? ESCAPE_SS3 : ESCAPE_NONE;
    } else if (e->escape == ESCAPE_CSI && c >= '0' && c <= '9') {
        e->number = MIN(e->number * 10 + (c - '0'), 999u);
    } else if (e->escape == ESCAPE_SS3 || c < 0x20 || c > 0x3f) {
        /* Parameters are 0x20 .. 0x3f; what follows them ends the sequence (ECMA-48, section 5.4). A key that means
         * nothing here does nothing. */
        e->escape = ESCAPE_NONE;
        if (c == '~')
            press(e, number_keys, ARRAY_SIZE(number_keys), e->number);
        else
            press(e, letter_keys, ARRAY_SIZE(letter_keys), c);
    }
}

static enum line_event enter(struct line_edit *e)
{
    emit(e, "\n");
    history_add(e);
    return LINE_DONE;
}

static enum line_event give_up(struct line_edit *e)
{
    emit(e, e->cursor - e->view + 2 <= width(e) ? "^C\n" : "\n");
    clear(e);
    return LINE_GIVEN_UP;
}

enum line_event line_edit_key(struct line_edit *e, u8 c)
{
    bool after_cr = e->after_cr;
    e->after_cr = c == '\r';
    if (c == ESC) {
        e->escape = ESCAPE_STARTED;
        return LINE_MORE;
    }
    if (e->escape != ESCAPE_NONE) {
        escape_key(e, c);
        return LINE_MORE;
    }
    if (c == '\r' || (c == '\n' && !after_cr))
        return enter(e);
    if (c == '\t')
        return LINE_COMPLETE;
    if (c == CTRL('C'))
        return give_up(e);
    if (c >= 0x20 && c < 0x7f)
        (void)line_edit_insert(e, (const char *)&c, 1);
    else if (c != '\n' && !press(e, control_keys, ARRAY_SIZE(control_keys), c))
        emit(e, BELL);
    return LINE_MORE;
}
