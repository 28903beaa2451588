/* Linker tables as the real kernel has them: complete, sorted, and with names that a person can type. */
#include "kernel/command.h"
#include "lib/counter.h"
#include "lib/param.h"
#include "lib/string.h"
#include "mm/shootdown.h"
#include "smp/message.h"
#include "tests/test.h"

/* Lower-case words with digits, _, - and dots (cost.line): what the command line and JSON keys take without quoting. */
static bool is_word(const char *s)
{
    if (!*s)
        return false;
    for (; *s; s++)
        if (!((*s >= 'a' && *s <= 'z') || (*s >= '0' && *s <= '9') || *s == '_' || *s == '-' ||
              (*s == '.' && s[1])))
            return false;
    return true;
}

/* Every entry has a word for a name, and no two the same one. */
#define CHECK_NAMES(t, table, type, member)                                                                  \
    do {                                                                                                     \
        u32 entries_ = 0;                                                                                    \
        TABLE_FOREACH (table, type, a_) {                                                                    \
            entries_++;                                                                                      \
            CHECK(t, is_word(a_->member), "%s: '%s' is no plain word", #table, a_->member);                  \
            TABLE_FOREACH (table, type, b_)                                                                  \
                CHECK(t, a_ == b_ || strcmp(a_->member, b_->member) != 0, "%s: '%s' is there twice", #table, \
                      a_->member);                                                                           \
        }                                                                                                    \
        CHECK(t, entries_ == TABLE_SIZE(table) && entries_ > 0, "%s: a walk saw %u of %zu entries", #table,  \
              entries_, TABLE_SIZE(table));                                                                  \
    } while (0)

static void table_names(struct test *t)
{
    CHECK_NAMES(t, test, struct test_entry, name);
    CHECK_NAMES(t, policy, struct shootdown_policy, name);
    CHECK_NAMES(t, param, struct param, key);
    CHECK_NAMES(t, command, struct command, name);
    CHECK_NAMES(t, counter, struct counter, name);
}
TEST(table_names, "tests, policies, parameters, commands and counters have unique, typable names");

static void table_is_sorted(struct test *t)
{
    const char *before = "";
    TABLE_FOREACH (test, struct test_entry, e) {
        CHECK(t, strcmp(before, e->name) < 0, "%s stands behind %s", e->name, before);
        before = e->name;
    }
}
TEST(table_is_sorted, "table entries come in the order of their names, in every build the same");

static void table_finds_this_test(struct test *t)
{
    bool found = false;
    TABLE_FOREACH (test, struct test_entry, e)
        found = found || e->fn == table_finds_this_test;
    CHECK(t, found, "this test is not in its own table");
    CHECK(t, TABLE_SIZE(test) >= 40, "only %zu self tests are linked in", TABLE_SIZE(test));
}
TEST(table_finds_this_test, "entries placed in any file arrive in the table");
