/* The kernel command line: words, quotes, unknown keys, refused values, a kernel path in front, and random bytes.
 *
 * sources: kernel/cmdline.c lib/param.c lib/log.c lib/format.c lib/wait.c
 * sanitize: address,undefined
 */
#include "tests/host/host.h"

#include "kernel/cmdline.h"
#include "lib/log.h"
#include "lib/param.h"

/* What reached the console since the last clear(). */
static char console[1u << 16];
static size_t console_length;

static void console_write(const char *text, size_t n)
{
    if (console_length + n >= sizeof(console))
        return;
    memcpy(console + console_length, text, n);
    console_length += n;
    console[console_length] = 0;
}

static void clear(void)
{
    static struct log_sink sink = {.write = console_write};
    static bool added;
    if (!added)
        log_add_sink(&sink);
    added = true;
    console_length = 0;
    console[0] = 0;
}

static char given[256];
static u32 times;
static const char *set_name(const char *value)
{
    snprintf(given, sizeof(given), "%s", value);
    times++;
    return NULL;
}
PARAM(name, "name", "name=TEXT  for this test", set_name);

static u64 pages = 32;
static const char *set_pages(const char *value)
{
    u64 n;
    if (!parse_u64(value, &n) || n < 1 || n > 512)
        return "1 .. 512";
    pages = n;
    return NULL;
}
PARAM(pages, "pages", "pages=N: pages for each shootdown", set_pages);

/* Parses, and returns how many errors that added. */
static u32 parse(const char *line)
{
    clear();
    u32 before = cmdline_errors();
    cmdline_parse(line);
    return cmdline_errors() - before;
}

static bool said(const char *text)
{
    return strstr(console, text) != NULL;
}

HOST_TEST(good_words)
{
    static const struct {
        const char *line, *name;
    } cases[] = {
        {"name=x", "x"},
        {"  name=x  ", "x"},
        {"\tname=x\n", "x"},
        {"name=a name=b", "b"},
        {"name", ""},
        {"name=", ""},
        {"name=a=b", "a=b"},
        {"name=\"two words\"", "two words"},
        {"\"name=two words\"", "two words"},
        {"name=\"\"", ""},
        {"name=a\"b c\"d", "ab cd"},
        {"name=a\\ b", "a b"},
        {"name=\\\"quoted\\\"", "\"quoted\""},
        {"name=back\\\\slash", "back\\slash"},
        {"name=it\\'s", "it's"},
        {"/boot/volley.elf name=x", "x"},
        {"(cd0)/boot/volley.elf name=x", "x"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        strcpy(given, "untouched");
        u32 errors = parse(cases[i].line);
        HOST_CHECK(errors == 0 && console_length == 0, "<%s>: %u errors, \"%s\"", cases[i].line, errors,
                   console);
        HOST_CHECK(strcmp(given, cases[i].name) == 0, "<%s> gave <%s>", cases[i].line, given);
    }
    HOST_CHECK(parse("") == 0 && parse("   ") == 0 && parse("/boot/volley.elf") == 0, "nothing is nothing");
}

HOST_TEST(several_words)
{
    times = 0;
    HOST_CHECK(parse("name=1 pages=7 name=2 loglevel=debug") == 0, "all good: %s", console);
    HOST_CHECK(times == 2 && pages == 7 && strcmp(given, "2") == 0 && log_level == LOG_DEBUG, "all taken");
    HOST_CHECK(parse("loglevel=info") == 0 && log_level == LOG_INFO, "and back");
}

HOST_TEST(unknown_key_is_named_with_those_there_are)
{
    pages = 32;
    HOST_CHECK(parse("polcy=early_ack pages=9") == 1, "one error");
    HOST_CHECK(said("\"polcy\"") && said("loglevel") && said("name") && said("pages") && said("quit"), "%s",
               console);
    HOST_CHECK(pages == 9, "the words behind it count");
    /* A path is a path in front only. */
    HOST_CHECK(parse("pages=9 /boot/x") == 1 && said("/boot/x"), "%s", console);
}

HOST_TEST(refused_value_is_named_with_what_is_allowed)
{
    pages = 32;
    HOST_CHECK(parse("pages=513") == 1 && said("513") && said("1 .. 512") && said("pages=N"), "%s", console);
    HOST_CHECK(parse("pages=") == 1 && parse("pages") == 1 && parse("pages=1x") == 1, "all refused");
    HOST_CHECK(pages == 32, "the default stays");
    HOST_CHECK(parse("loglevel=loud") == 1 && said("error, warn, info or debug") && log_level == LOG_INFO,
               "%s", console);
    HOST_CHECK(parse("quit=now") == 1 && !cmdline_quit(), "quit takes no value");
    HOST_CHECK(parse("quit") == 0 && cmdline_quit(), "quit");
}

HOST_TEST(open_ends)
{
    strcpy(given, "untouched");
    HOST_CHECK(parse("name=\"never closed") == 1 && said("name=never closed"), "%s", console);
    HOST_CHECK(parse("name=x\\") == 1 && strcmp(given, "untouched") == 0, "neither is taken");
}

HOST_TEST(too_long)
{
    static char line[2000];
    memset(line, ' ', sizeof(line) - 1);
    memcpy(line + 1900, "name=lost", 9);
    strcpy(given, "untouched");
    HOST_CHECK(parse(line) == 1 && strcmp(given, "untouched") == 0 && said("1023 bytes"), "%s", console);
}

HOST_TEST(help_lists_all)
{
    HOST_CHECK(parse("help") == 0, "a key like others");
    HOST_CHECK(said("name=TEXT                       for this test\n"), "two blanks end the usage: %s",
               console);
    HOST_CHECK(said("pages=N                         pages for each shootdown\n"), "or a colon: %s", console);
}

HOST_TEST(random_bytes)
{
    srand(4);
    for (u32 turn = 0; turn < 20000; turn++) {
        static const char letters[] = "  \t\"\\=/(npq";
        static const char *const pieces[] = {"name=", "pages=", "pages=3", "quit", "loglevel=info"};
        char *line = malloc(64); /* on the heap: reading past its end is caught */
        u32 n = 0, want = (u32)rand() % 48;
        while (n < want) {
            u32 what = (u32)rand() % 8;
            const char *piece = pieces[(u32)rand() % ARRAY_SIZE(pieces)];
            if (what == 0 && n + strlen(piece) < 63)
                n += (u32)sprintf(line + n, "%s", piece);
            else
                line[n++] =
                    what == 1 ? (char)(1 + rand() % 255) : letters[(u32)rand() % (sizeof(letters) - 1)];
        }
        line[n] = 0;
        u32 errors = parse(line);
        HOST_CHECK((errors != 0) == (console_length != 0 && said("error: ")), "<%s>: %u errors, \"%s\"", line,
                   errors, console);
        free(line);
    }
}
