#include "kernel/cmdline.h"

#include "lib/log.h"
#include "lib/param.h"
#include "lib/string.h"

/* The longest list of keys that one message line holds; `help` has them all. */
#define KEYS_MAX 400u

static u32 errors;
static bool quit, help;

static const char *set_quit(const char *value)
{
    if (*value)
        return "quit takes no value";
    quit = true;
    return NULL;
}
PARAM(quit, "quit", "quit  power off after the work that the command line asks for", set_quit);

static const char *set_help(const char *value)
{
    if (*value)
        return "help takes no value";
    help = true;
    return NULL;
}
PARAM(help, "help", "help  list these keys at boot", set_help);

static const char *set_loglevel(const char *value)
{
    static const char *const name[] = {"error", "warn", "info", "debug"};
    for (u32 i = 0; i < ARRAY_SIZE(name); i++)
        if (strcmp(value, name[i]) == 0) {
            log_level = (enum log_level)i;
            return NULL;
        }
    return "error, warn, info or debug";
}
PARAM(loglevel, "loglevel", "loglevel=error|warn|info|debug  which lines reach the console (default info)",
      set_loglevel);

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

bool cmdline_word(char **at, char **word, bool *torn)
{
    char *from = *at;
    *torn = false;
    while (is_blank(*from))
        from++;
    if (!*from) {
        *at = from;
        return false;
    }
    char *to = *word = from;
    bool quoted = false;
    for (; *from && (quoted || !is_blank(*from)); from++) {
        if (*from == '"') {
            quoted = !quoted;
        } else if (*from == '\\') {
            if (!from[1]) {
                *torn = true;
                continue;
            }
            *to++ = *++from;
        } else {
            *to++ = *from;
        }
    }
    *torn |= quoted;
    /* The next word starts behind the blank, which the 0 may overwrite. */
    *at = *from ? from + 1 : from;
    *to = 0;
    return true;
}

static const struct param *find(const char *key)
{
    TABLE_FOREACH (param, struct param, p)
        if (strcmp(p->key, key) == 0)
            return p;
    return NULL;
}

static void list_keys(char *to, size_t size)
{
    size_t n = 0;
    to[0] = 0;
    TABLE_FOREACH (param, struct param, p) {
        n += (size_t)format(to + n, size - n, "%s%s", n ? ", " : "", p->key);
        if (n >= size)
            return;
    }
}

bool cmdline_set(const char *key, const char *value)
{
    const struct param *p = find(key);
    if (!p) {
        char keys[KEYS_MAX];
        list_keys(keys, sizeof(keys));
        log_error("there is no setting \"%s\"; it is ignored. There are: %s", key, keys);
        return false;
    }
    const char *allowed = p->set(value);
    if (allowed) {
        log_error("%s=\"%s\" is refused, what was set before stays. Allowed: %s. Usage: %s", key, value,
                  allowed, p->help);
        return false;
    }
    return true;
}

/* A help text is "usage  meaning" or "usage: meaning". */
static size_t usage_length(const char *text)
{
    size_t n = 0;
    while (text[n] && strncmp(text + n, "  ", 2) != 0 && strncmp(text + n, ": ", 2) != 0)
        n++;
    return n;
}

void cmdline_help(void)
{
    size_t widest = 0;
    TABLE_FOREACH (param, struct param, p)
        widest = MAX(widest, usage_length(p->help));
    print("\n%-*s  %s\n", (int)widest, "setting", "meaning");
    TABLE_FOREACH (param, struct param, p) {
        size_t n = usage_length(p->help);
        const char *meaning = p->help + n;
        while (*meaning == ' ' || *meaning == ':')
            meaning++;
        print("%-*.*s  %s\n", (int)widest, (int)n, p->help, meaning);
    }
    print("\n");
}

void cmdline_parse(const char *line)
{
    static char text[1024]; /* BOOT_CMDLINE_MAX; too much for a stack of 16 KiB together with the messages */
    char *at = text, *word;
    bool torn, first = true;
    if (!string_copy(text, sizeof(text), line)) {
        log_error("the command line is longer than %zu bytes; the rest is ignored", sizeof(text) - 1);
        errors++;
    }
    for (; cmdline_word(&at, &word, &torn); first = false) {
        if (first && (*word == '/' || *word == '('))
            continue;
        if (torn) {
            log_error(
                "command line: the quote or backslash at the end of \"%s\" is open; the word is ignored",
                word);
            errors++;
            continue;
        }
        char *value = strchr(word, '=');
        if (value)
            *value++ = 0;
        errors += !cmdline_set(word, value ? value : "");
    }
    if (help)
        cmdline_help();
}

u32 cmdline_errors(void)
{
    return errors;
}
bool cmdline_quit(void)
{
    return quit;
}
