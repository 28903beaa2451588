/* The line editor at a small terminal: what the terminal shows is the line, and the cursor is where it should be, after
 * every key of scripted and of random input.
 *
 * sources: kernel/line_edit.c lib/format.c
 * sanitize: address,undefined
 */
#include "tests/host/host.h"

#include "kernel/line_edit.h"

#define PROMPT "volley> "

/* One row of a VT100: no wrap is allowed, so one row is all there is. */
static struct terminal {
    char row[LINE_COLUMNS + 1];
    u32 column, rows_done, bells;
    char done[LINE_COLUMNS + 1]; /* the row that was left by the last line feed */
} screen;

static void clear_row(void)
{
    memset(screen.row, ' ', LINE_COLUMNS);
    screen.row[LINE_COLUMNS] = 0;
}

static void terminal_write(void *arg, const char *s, size_t n)
{
    (void)arg;
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '\r') {
            screen.column = 0;
        } else if (s[i] == '\n') {
            memcpy(screen.done, screen.row, sizeof(screen.done));
            clear_row();
            screen.column = 0;
            screen.rows_done++;
        } else if (s[i] == '\a') {
            screen.bells++;
        } else if (s[i] == 0x1b) {
            u32 number = 0;
            HOST_CHECK(i + 2 < n && s[i + 1] == '[', "an escape sequence in one piece");
            for (i += 2; i < n && s[i] >= '0' && s[i] <= '9'; i++)
                number = number * 10 + (u32)(s[i] - '0');
            if (s[i] == 'K')
                memset(screen.row + screen.column, ' ', LINE_COLUMNS - screen.column);
            else if (s[i] == 'C')
                screen.column += number ? number : 1;
            else
                HOST_CHECK(false, "unknown sequence %c", s[i]);
        } else {
            HOST_CHECK(screen.column < LINE_COLUMNS - 1, "column %u would wrap", screen.column);
            screen.row[screen.column++] = s[i];
        }
    }
}

static struct line_edit e;

static void fresh(void)
{
    memset(&screen, 0, sizeof(screen));
    clear_row();
    line_edit_init(&e, PROMPT, terminal_write, NULL);
    line_edit_start(&e);
}

static void check_screen(const char *when)
{
    char expected[LINE_COLUMNS + 1];
    u32 w = LINE_COLUMNS - 1 - (u32)strlen(PROMPT);
    HOST_CHECK(e.length == strlen(e.text) && e.cursor <= e.length && e.length <= LINE_MAX, "%s: sane", when);
    HOST_CHECK(e.view <= e.cursor && e.cursor <= e.view + w, "%s: the cursor is in view", when);
    char shown[LINE_COLUMNS + 1];
    snprintf(shown, sizeof(shown), "%s%.*s", PROMPT, (int)w, e.text + e.view);
    snprintf(expected, sizeof(expected), "%-80s", shown);
    HOST_CHECK(strcmp(screen.row, expected) == 0, "%s: shows <%s>, not <%s>", when, screen.row, expected);
    u32 column = (u32)strlen(PROMPT) + e.cursor - e.view;
    HOST_CHECK(screen.column == column, "%s: cursor in column %u, not %u", when, screen.column, column);
}

/* Types all of it; the last event. The screen is checked after every key but within escape sequences it stays too. */
static enum line_event type(const char *keys)
{
    enum line_event event = LINE_MORE;
    for (; *keys; keys++) {
        event = line_edit_key(&e, (u8)*keys);
        if (event == LINE_MORE)
            check_screen(keys);
    }
    return event;
}

static void check_line(const char *keys, const char *line, u32 cursor)
{
    type(keys);
    HOST_CHECK(strcmp(e.text, line) == 0 && e.cursor == cursor, "<%s> gave <%s>, cursor %u", keys, e.text,
               e.cursor);
}

#define UP    "\x1b[A"
#define DOWN  "\x1b[B"
#define RIGHT "\x1b[C"
#define LEFT  "\x1b[D"

HOST_TEST(editing_keys)
{
    static const struct {
        const char *keys, *line;
        u32 cursor;
    } cases[] = {
        {"help", "help", 4},
        {"hxelp" LEFT LEFT LEFT "\x7f", "help", 1},
        {"elp\x01h", "help", 1},
        {"elp\x1b[Hh\x1b[F!", "help!", 5},
        {"elp\x1b[1~h\x1b[4~!", "help!", 5},
        {"elp\x1bOHh\x1bOF!", "help!", 5},
        {"elp\x1b[7~h\x1b[8~!", "help!", 5},
        {"abc" LEFT LEFT "\x1b[3~", "ac", 1},
        {"abc" LEFT "\x04", "ab", 2},
        {"abc\x04", "abc", 3},
        {"\x7f\x08", "", 0},
        {LEFT RIGHT, "", 0},
        {"abc def" LEFT LEFT "\x15", "ef", 0},
        {"abc def" LEFT LEFT "\x0b", "abc d", 5},
        {"abc  def  \x17", "abc  ", 5},
        {"abc\x17\x17", "", 0},
        {"ab\x02"
         "x\x06y",
         "axby", 4},
        {"a\x1b[1;5Db", "ba", 1}, /* Ctrl-Left counts as Left */
        {"a\x1b[99999999999~b", "ab", 2},
        {"a\x1b[Zb\x1bxc", "abc", 3}, /* keys that mean nothing */
        {"a\xc3\xa9\x01\xff"
         "b",
         "ba", 1},
        {"ab\x0c", "ab", 2},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        fresh();
        check_line(cases[i].keys, cases[i].line, cases[i].cursor);
    }
}

HOST_TEST(enter_tab_and_giving_up)
{
    fresh();
    HOST_CHECK(type("stat\r") == LINE_DONE && strcmp(e.text, "stat") == 0, "CR ends it");
    HOST_CHECK(screen.rows_done == 1 && strncmp(screen.done, PROMPT "stat ", 13) == 0,
               "and it stays visible");
    line_edit_start(&e);
    HOST_CHECK(type("\n") == LINE_MORE && screen.rows_done == 1, "LF after CR is part of it");
    HOST_CHECK(type("\n") == LINE_DONE && screen.rows_done == 2, "but the next is not");
    line_edit_start(&e);
    HOST_CHECK(type("he\t") == LINE_COMPLETE, "Tab asks");
    HOST_CHECK(line_edit_insert(&e, "lp ", 3) && strcmp(e.text, "help ") == 0, "completion");
    check_screen("completion");
    HOST_CHECK(type("\x03") == LINE_GIVEN_UP && e.length == 0 && screen.rows_done == 3, "Ctrl-C");
    line_edit_start(&e);
    check_screen("after Ctrl-C");
}

static void enter(const char *line)
{
    type(line);
    HOST_CHECK(type("\r") == LINE_DONE, "entered");
    line_edit_start(&e);
}

HOST_TEST(history)
{
    fresh();
    check_line(UP DOWN, "", 0);
    enter("one");
    enter("two");
    enter("two"); /* repeated: kept once */
    enter("");    /* empty: not kept */
    check_line("dra" UP, "two", 3);
    check_line(UP, "one", 3);
    check_line(UP UP, "one", 3);
    check_line(DOWN, "two", 3);
    check_line(DOWN DOWN, "dra", 3);
    check_line("\x10\x10!", "one!", 4);
    HOST_CHECK(type("\r") == LINE_DONE && strcmp(e.text, "one!") == 0, "an edited old line is a new one");
    line_edit_start(&e);
    check_line(UP UP UP, "one", 3);
    check_line("\x15", "", 0);

    for (u32 i = 0; i < 3 * LINE_HISTORY; i++) {
        char line[16];
        snprintf(line, sizeof(line), "line %u", i);
        type("\x05\x15");
        enter(line);
    }
    for (u32 i = 0; i < 2 * LINE_HISTORY; i++)
        type(UP);
    char oldest[16];
    snprintf(oldest, sizeof(oldest), "line %u", 2 * LINE_HISTORY);
    HOST_CHECK(strcmp(e.text, oldest) == 0, "the oldest kept is <%s>, not <%s>", e.text, oldest);
}

HOST_TEST(full_line)
{
    fresh();
    for (u32 i = 0; i < LINE_MAX + 10; i++) {
        char key[2] = {(char)('a' + i % 26), 0};
        type(key);
    }
    HOST_CHECK(e.length == LINE_MAX && screen.bells == 10, "%u characters, %u bells", e.length, screen.bells);
    HOST_CHECK(!line_edit_insert(&e, "xy", 2) && e.length == LINE_MAX, "no room");
    type("\x01");
    HOST_CHECK(e.view == 0, "scrolled back");
    for (u32 i = 0; i < LINE_MAX; i++)
        type(RIGHT);
    HOST_CHECK(e.cursor == LINE_MAX, "and forth");
    type("\x7f");
    HOST_CHECK(!line_edit_insert(&e, "xy", 2) && line_edit_insert(&e, "x", 1), "all or nothing");
    check_screen("full");
}

HOST_TEST(random_keys)
{
    static const char *const keys[] = {
        UP,     DOWN,   LEFT,   RIGHT,  "\x1b[H", "\x1b[F", "\x1b[3~", "\x01", "\x02",
        "\x04", "\x05", "\x06", "\x08", "\x0b",   "\x0c",   "\x10",    "\x15", "\x17",
        "\x7f", " ",    "\t",   "\r",   "\x03",   "\x1b",   "\x1b[",   "word", "a longer piece "};
    srand(5);
    fresh();
    for (u32 turn = 0; turn < 100000; turn++) {
        u32 what = (u32)rand() % (ARRAY_SIZE(keys) + 12);
        char byte[2] = {(char)(1 + rand() % 255), 0};
        enum line_event event = LINE_MORE;
        for (const char *k = what < ARRAY_SIZE(keys)        ? keys[what]
                             : what < ARRAY_SIZE(keys) + 10 ? "words "
                                                            : byte;
             *k; k++) {
            event = line_edit_key(&e, (u8)*k);
            if (event == LINE_DONE || event == LINE_GIVEN_UP)
                line_edit_start(&e);
            check_screen("random");
        }
    }
}
