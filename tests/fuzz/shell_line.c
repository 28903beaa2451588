/* Keys, to the line editor of the prompt (kernel/line_edit.c), and each finished line to the splitter of words (kernel/cmdline.c).
 *
 *     sources: kernel/line_edit.c kernel/cmdline.c lib/param.c lib/log.c lib/format.c lib/wait.c
 */
#include "kernel/cmdline.h"
#include "kernel/line_edit.h"
#include "tests/fuzz/fuzz.h"

/* One row of a terminal: it must never be told to go past its last column. */
static u32 column, in_escape;
static void emit(void *arg, const char *text, size_t n)
{
    (void)arg;
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        if (in_escape) {
            in_escape = in_escape == 1 ? (c == '[' ? 2 : 0) : (c >= '@' && c <= '~' ? 0 : 2);
        } else if (c == 0x1b) {
            in_escape = 1;
        } else if (c == '\r' || c == '\n') {
            column = 0;
        } else if (c == '\b') {
            FUZZ_CHECK(column > 0, "left of the first column");
            column--;
        } else if (c != '\a') {
            FUZZ_CHECK(column < LINE_COLUMNS, "past the last column");
            column++;
        }
    }
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
    static struct line_edit e;
    char *word;
    column = in_escape = 0;
    line_edit_init(&e, "volley> ", emit, NULL);
    line_edit_start(&e);
    for (size_t i = 0; i < size; i++) {
        enum line_event event = line_edit_key(&e, data[i]);
        FUZZ_CHECK(e.length <= LINE_MAX && e.cursor <= e.length && strlen(e.text) == e.length,
                   "the line is sane");
        if (event == LINE_COMPLETE)
            (void)line_edit_insert(&e, "completed", 1 + i % 9);
        if (event == LINE_DONE) {
            bool torn;
            char text[LINE_MAX + 1], *at = text;
            memcpy(text, e.text, sizeof(text));
            while (cmdline_word(&at, &word, &torn))
                FUZZ_CHECK(word >= text && at <= text + e.length, "outside of the line");
        }
        if (event == LINE_DONE || event == LINE_GIVEN_UP)
            line_edit_start(&e);
    }
    return 0;
}
