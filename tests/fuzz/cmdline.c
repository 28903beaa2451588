/* The kernel command line, to kernel/cmdline.c and the parsers of lib/param.c.
 *
 *     sources: kernel/cmdline.c lib/param.c lib/log.c lib/format.c lib/wait.c
 */
#include "kernel/cmdline.h"
#include "lib/param.h"
#include "tests/fuzz/fuzz.h"

static const char *set_pages(const char *value)
{
    u64 n;
    if (!parse_u64(value, &n))
        return "a number";
    /* What was read, written again, is read as the same. */
    char text[32];
    u64 again;
    snprintf(text, sizeof(text), "%llu", (unsigned long long)n);
    FUZZ_CHECK(parse_u64(text, &again) && again == n, "<%s> is %lu", value, n);
    return NULL;
}
PARAM(pages, "pages", "pages=N: a number", set_pages);

static const char *set_flag(const char *value)
{
    bool on;
    return parse_on_off(value, &on) ? NULL : "on or off";
}
PARAM(flag, "flag", "flag=on|off: a switch", set_flag);

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
    char *line = malloc(size + 1), *words = malloc(size + 1), *at = words, *word;
    if (size)
        memcpy(line, data, size);
    line[size] = 0;
    memcpy(words, line, size + 1);
    bool torn;
    size_t length = strlen(words), n = 0;
    while (cmdline_word(&at, &word, &torn)) {
        FUZZ_CHECK(word >= words && word <= words + length && at >= word && at <= words + length,
                   "outside of the text");
        FUZZ_CHECK(n++ <= length, "more words than bytes");
    }
    u32 before = cmdline_errors();
    cmdline_parse(line);
    FUZZ_CHECK(cmdline_errors() - before <= length + 1, "an error a word");
    free(line);
    free(words);
    return 0;
}
