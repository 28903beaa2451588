/* The terminal behind the screen: text, wrap, scrolling and what has scrolled off, UTF-8, sequences; and random bytes.
 *
 *     sources: dev/terminal.c
 *     sanitize: address,undefined
 */
#include "dev/terminal.h"

#include "tests/host/host.h"

#define COLUMNS 10u
#define ROWS    4u
#define LINES   9u

static struct terminal term;
static u32 cells[LINES * COLUMNS];

static void fresh(void)
{
    terminal_init(&term, COLUMNS, ROWS, LINES, cells);
}
static void write(const char *s)
{
    terminal_write(&term, s, strlen(s));
}
/* The view's rows joined by |, trailing blanks left out; what is no ASCII as {hex}. */
static const char *view(void)
{
    static char out[1024];
    size_t n = 0;
    for (u32 r = 0; r < ROWS; r++) {
        const u32 *c = terminal_row(&term, r);
        u32 end = COLUMNS;
        while (end && CELL_CODE(c[end - 1]) == ' ')
            end--;
        for (u32 i = 0; i < end; i++) {
            u32 code = CELL_CODE(c[i]);
            n += (size_t)snprintf(out + n, sizeof(out) - n, code < 0x7f ? "%c" : "{%x}", code);
        }
        n += (size_t)snprintf(out + n, sizeof(out) - n, "|");
    }
    return out;
}
#define SHOWS(what, text)                                                                                    \
    HOST_CHECK(strcmp(view(), what) == 0, "<%s> shows <%s>, not <%s>", text, view(), what)

HOST_TEST(text_and_sequences)
{
    static const struct {
        const char *text, *shows;
        u32 column, row;
    } cases[] = {
        {"", "||||", 0, 0},
        {"ab\ncd", "ab|cd|||", 2, 1},
        {"ab\rc", "cb||||", 1, 0},
        {"0123456789", "0123456789||||", 10, 0}, /* the wrap waits for the next character */
        {"0123456789x", "0123456789|x|||", 1, 1},
        {"0123456789\nx", "0123456789|x|||", 1, 1},
        {"abc\b\bX", "aXc||||", 2, 0},
        {"a\tb", "a       b||||", 9, 0},
        {"a\tb\tc", "a       bc||||", 10, 0},
        {"a\x07"
         "b",
         "ab||||", 2, 0},
        {"1\n2\n3\n4\n5", "2|3|4|5|", 1, 3},
        {"\xe2\x94\x80\xc3\xa4", "{2500}{e4}||||", 2, 0},
        {"\xe2\x94"
         "a",
         "{fffd}a||||", 2, 0}, /* cut short */
        {"\xff\x80"
         "a",
         "{fffd}{fffd}a||||", 3, 0},
        {"\xf0\x9f\x98\x80", "{1f600}||||", 1, 0},
        {"abc\x1b[2D\x1b[K", "a||||", 1, 0},
        {"abc\x1b[1K", "   ||||" + 3, 3, 0},
        {"a\nb\nc\x1b[2J", "||||", 1, 2},
        {"a\nb\nc\x1b[1;1H\x1b[J", "||||", 0, 0},
        {"\x1b[2;3Hx", "|  x|||", 3, 1},
        {"\x1b[99;99Hx", "|||         x|", 10, 3},
        {"\x1b[99Ax\x1b[3Gy", "x y||||", 3, 0},
        {"a\x1b[Bb\x1b[Cc", "a| b c|||", 4, 1},
        {"a\x1b[?25lb", "ab||||", 2, 0}, /* unknown: skipped whole */
        {"a\x1b[12345678901234567890mb", "ab||||", 2, 0},
        {"a\x1b[1;2;3;4;5;6;7;8;9;10mb", "ab||||", 2, 0},
        {"a\x1bXb", "ab||||", 2, 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        fresh();
        write(cases[i].text);
        const char *shows = cases[i].shows;
        SHOWS(shows, cases[i].text);
        HOST_CHECK(term.column == cases[i].column && term.row == cases[i].row, "<%s>: cursor %u,%u",
                   cases[i].text, term.column, term.row);
    }
}

HOST_TEST(colours)
{
    fresh();
    write("a\x1b[31mb\x1b[1mc\x1b[44md\x1b[7me\x1b[0mf\x1b[97;101mg\x1b[39;49mh");
    static const u32 expected[] = {CELL('a', 7, 0), CELL('b', 1, 0), CELL('c', 9, 0),  CELL('d', 9, 4),
                                   CELL('e', 4, 9), CELL('f', 7, 0), CELL('g', 15, 9), CELL('h', 7, 0)};
    for (u32 i = 0; i < ARRAY_SIZE(expected); i++)
        HOST_CHECK(terminal_row(&term, 0)[i] == expected[i], "cell %u: %x, not %x", i,
                   terminal_row(&term, 0)[i], expected[i]);
}

HOST_TEST(view_scrolls_over_what_is_kept)
{
    fresh();
    write("1\n2\n3\n4\n5\n6\n7");
    SHOWS("4|5|6|7|", "seven lines");
    terminal_scroll(&term, 2);
    SHOWS("2|3|4|5|", "two up");
    terminal_scroll(&term, 100);
    SHOWS("1|2|3|4|", "as far as it goes");
    terminal_scroll(&term, -1);
    SHOWS("2|3|4|5|", "one down");
    write("x");
    SHOWS("4|5|6|7x|", "new text brings the screen back");
    write("\n8\n9\n10\n11\n12\n13");
    terminal_scroll(&term, 100);
    SHOWS("5|6|7x|8|", "nine lines are kept, of which four are the screen");
}

HOST_TEST(random_bytes_stay_inside)
{
    u64 x = 88172645463325252ull;
    fresh();
    for (u32 i = 0; i < 500000; i++) {
        static const char telling[] = "\x1b[;m0129ABCDGHJK\n\r\b\t";
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        char c = x & 1 ? (char)(x >> 8) : telling[(x >> 8) % (sizeof(telling) - 1)];
        terminal_write(&term, &c, 1);
        if ((x >> 40) % 64 == 0)
            terminal_scroll(&term, (s32)((x >> 50) % 9) - 4);
        if (term.column > COLUMNS || term.row >= ROWS || term.first >= LINES || term.stored > LINES - ROWS ||
            term.back > term.stored) {
            HOST_CHECK(false, "byte %u: column %u, row %u, first %u, stored %u, back %u", i, term.column,
                       term.row, term.first, term.stored, term.back);
            return;
        }
        (void)view();
    }
    HOST_CHECK(term.stored == LINES - ROWS, "lines were kept: %u", term.stored);
}
