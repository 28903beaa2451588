#include "kernel/shell.h"

#include "kernel/cmdline.h"
#include "kernel/command.h"
#include "kernel/console.h"
#include "kernel/idle.h"
#include "kernel/line_edit.h"
#include "lib/log.h"
#include "lib/param.h"
#include "lib/string.h"

#define PROMPT   "volley> "
#define ARGS_MAX 15 /* kernel/command.h: argc < 16 */

static struct line_edit edit;
static bool quitting;

static void emit(void *arg, const char *text, size_t n)
{
    (void)arg;
    print("%.*s", (int)n, text);
}

void shell_quit(void)
{
    quitting = true;
}

static const struct command *find(const char *name)
{
    TABLE_FOREACH (command, struct command, c)
        if (strcmp(c->name, name) == 0)
            return c;
    return NULL;
}

bool shell_execute(char *line)
{
    char *argv[ARGS_MAX + 1], *at = line;
    int argc = 0;
    bool torn;
    while (cmdline_word(&at, &argv[argc], &torn)) {
        if (torn) {
            print("The quote or backslash at the end of \"%s\" is open.\n", argv[argc]);
            return false;
        }
        if (++argc > ARGS_MAX) {
            print("A command takes at most %d words.\n", ARGS_MAX);
            return false;
        }
    }
    if (argc == 0)
        return true;
    argv[argc] = NULL;
    const struct command *c = find(argv[0]);
    if (!c) {
        print("There is no command \"%s\". There are:", argv[0]);
        TABLE_FOREACH (command, struct command, it)
            print(" %s", it->name);
        print("; `help` says what they do.\n");
        return false;
    }
    c->fn(argc, argv);
    return true;
}

/* What Tab may put in place of a beginning: the names in one of the tables. */
struct choice {
    const char *beginning;
    size_t length;
    u32 matches;
    const char *first; /* of the matches; they agree in the first `common` characters */
    size_t common;
    bool list; /* print each match */
};

static void offer(struct choice *c, const char *name)
{
    if (strncmp(name, c->beginning, c->length) != 0)
        return;
    if (c->list)
        print("  %s", name);
    if (c->matches++ == 0) {
        c->first = name;
        c->common = strlen(name);
        return;
    }
    size_t same = 0;
    while (same < c->common && name[same] == c->first[same])
        same++;
    c->common = same;
}

static void offer_word(void *arg, const char *word)
{
    offer(arg, word);
}

/* `of`: the command whose words are wanted; NULL: the commands themselves, or the settings. */
static void offer_all(struct choice *c, const struct command *of, bool settings)
{
    if (of) {
        of->words(offer_word, c);
    } else if (settings) {
        TABLE_FOREACH (param, struct param, p)
            offer(c, p->key);
    } else {
        TABLE_FOREACH (command, struct command, it)
            offer(c, it->name);
    }
}

/* The command that the line begins with, if it has words to offer for what stands behind it at `start`. */
static const struct command *command_before(const struct line_edit *e, u32 start)
{
    TABLE_FOREACH (command, struct command, it) {
        size_t n = strlen(it->name);
        if (it->words && n < start && strncmp(e->text, it->name, n) == 0 && e->text[n] == ' ')
            return it;
    }
    return NULL;
}

/* Completes the word that ends at the cursor: a command at the start of the line and after `help`, a setting after `set`, and
 * what a command itself offers, for each place of a list with commas. */
static void complete(struct line_edit *e)
{
    u32 start = e->cursor;
    while (start && e->text[start - 1] != ' ' && e->text[start - 1] != ',')
        start--;
    bool settings = strncmp(e->text, "set ", 4) == 0 && start == 4;
    const struct command *of = command_before(e, start);
    if (start != 0 && !settings && !of && !(strncmp(e->text, "help ", 5) == 0 && start == 5))
        return;
    struct choice c = {.beginning = e->text + start, .length = e->cursor - start};
    offer_all(&c, of, settings);
    if (c.matches == 0)
        return;
    if (c.common > c.length) {
        (void)line_edit_insert(e, c.first + c.length, c.common - c.length);
    } else if (c.matches > 1) {
        c = (struct choice){.beginning = c.beginning, .length = c.length, .list = true};
        print("\n");
        offer_all(&c, of, settings);
        print("\n");
        line_edit_redraw(e);
    }
    if (c.matches == 1 && !settings && e->cursor == e->length)
        (void)line_edit_insert(e, " ", 1);
}

void shell_run(void)
{
    if (!console_can_read()) {
        log_warn(
            "there is neither a serial port nor a keyboard, so nobody can type: the machine stays as it is");
        for (;;)
            idle_for_a_tick();
    }
    print("\nType `help` for the commands, `quit` to end.\n");
    line_edit_init(&edit, PROMPT, emit, NULL);
    quitting = false;
    while (!quitting) {
        enum line_event event;
        line_edit_start(&edit);
        while ((event = line_edit_key(&edit, console_read())) != LINE_DONE && event != LINE_GIVEN_UP)
            if (event == LINE_COMPLETE)
                complete(&edit);
        if (event == LINE_DONE)
            (void)shell_execute(edit.text);
    }
}
