#include "tests/select.h"

#include "lib/log.h"
#include "lib/param.h"
#include "lib/string.h"
#include "tests/test.h"

#define LIST_MAX 256u
#define WORD_MAX 64u
/* Names farther from what was typed than this are no help. */
#define NEAR_EDITS 4u

/* Does the word [s, s+n) mean this test? */
static bool word_matches(const char *s, size_t n, const char *test)
{
    if (n == 3 && strncmp(s, "all", 3) == 0)
        return true;
    if (n && s[n - 1] == '*')
        return strncmp(s, test, n - 1) == 0;
    return strlen(test) == n && strncmp(s, test, n) == 0;
}

static size_t word_length(const char *s)
{
    size_t n = 0;
    while (s[n] && s[n] != ',')
        n++;
    return n;
}

bool test_names_match(const char *names, const char *test)
{
    for (const char *s = names;; s++) {
        size_t n = word_length(s);
        if (word_matches(s, n, test))
            return true;
        s += n;
        if (!*s)
            return false;
    }
}

/* Single-character insertions, deletions and exchanges between a (n bytes) and b; at most WORD_MAX are looked at. */
static u32 edit_distance(const char *a, size_t n, const char *b)
{
    u8 row[WORD_MAX + 1];
    size_t m = MIN(strlen(b), (size_t)WORD_MAX);
    for (size_t j = 0; j <= m; j++)
        row[j] = (u8)j;
    for (size_t i = 1; i <= MIN(n, (size_t)WORD_MAX); i++) {
        u8 diagonal = row[0];
        row[0] = (u8)i;
        for (size_t j = 1; j <= m; j++) {
            u8 exchange = (u8)(diagonal + (a[i - 1] != b[j - 1]));
            diagonal = row[j];
            row[j] = MIN(MIN((u8)(row[j] + 1), (u8)(row[j - 1] + 1)), exchange);
        }
    }
    return row[m];
}

/* Contains the word, or is a few letters away from it. */
static bool is_near(const char *s, size_t n, const char *test)
{
    for (const char *at = test; *at; at++)
        if (n && strncmp(at, s, n) == 0)
            return true;
    return edit_distance(s, n, test) <= NEAR_EDITS;
}

static const char *refuse(const char *s, size_t n)
{
    static char sentence[400];
    char word[WORD_MAX];
    string_copy(word, MIN(sizeof(word), n + 1), s);
    int used =
        format(sentence, sizeof(sentence), "all, or names of self tests with commas; '%s' is none", word);
    const char *separator = "; near it: ";
    TABLE_FOREACH (test, struct test_entry, e)
        if (is_near(s, n, e->name) && (size_t)used + strlen(e->name) + 40 < sizeof(sentence)) {
            used += format(sentence + used, sizeof(sentence) - (size_t)used, "%s%s", separator, e->name);
            separator = ", ";
        }
    return sentence;
}

const char *test_names_check(const char *names)
{
    for (const char *s = names;; s++) {
        size_t n = word_length(s);
        bool found = false;
        TABLE_FOREACH (test, struct test_entry, e)
            found = found || word_matches(s, n, e->name);
        if (!found)
            return refuse(s, n);
        s += n;
        if (!*s)
            return NULL;
    }
}

static char requested[LIST_MAX];

const char *test_requested(void)
{
    return *requested ? requested : NULL;
}

static const char *set_test(const char *value)
{
    const char *wrong = test_names_check(value);
    if (wrong)
        return wrong;
    return string_copy(requested, sizeof(requested), value)
               ? NULL
               : "a list of test names of at most 255 characters";
}
PARAM(test, "test", "test=all|NAME[,NAME...]|NAME*  run self tests after the boot", set_test);
