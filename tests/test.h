/* In-kernel self tests: one table entry each, in tests/NAME.c. Run with test=all, test=NAME[,NAME...] or `test` at the prompt.
 *
 *   static void msg_ring_of_cpus(struct test *t)
 *   {
 *       if (cpu_online_count() < 2) { test_skip(t, "needs 2 CPUs"); return; }
 *       CHECK(t, got == 7, "got %d, expected 7", got);
 *   }
 *   TEST(msg_ring_of_cpus, "each CPU calls the next one");
 *
 * A test runs as a thread on CPU 0 with interrupts on, and leaves the machine as it found it: the runner compares free frames,
 * interrupt flag, preemption count, loaded space, policy and the idleness of the other CPUs before and after, and fails a
 * test that leaks or disturbs. A test bounds its own waits (lib/wait.h), and must be able to fail. */
#pragma once

#include "lib/table.h"
#include "lib/types.h"

struct test {
    const char *name;
    u32 checks, failures; /* counted atomically: functions on other CPUs may check too */
    bool skipped, blind;
    const char *why; /* of a skip */
    bool show;       /* the note on the line of a test that has passed, too */
    char note[640];  /* test_note, or the first failure: goes into the record */
};

struct test_entry {
    const char *name, *what;
    void (*fn)(struct test *t);
};
TABLE_DECLARE(test, struct test_entry);
#define TEST(ident, what_)                                                                                   \
    TABLE_ENTRY(test, struct test_entry, test_entry_##ident) = {.name = #ident, .what = what_, .fn = ident}

/* Any context that may print, any CPU. */
bool test_check(struct test *t, bool ok, const char *expr, const char *file, int line);
void test_detail(struct test *t, const char *fmt, ...) PRINTF(2, 3); /* printed behind a failure */
void test_note(struct test *t, const char *fmt, ...)
    PRINTF(2, 3); /* for the record: what was covered, what was counted */
void test_note_shown(struct test *t, const char *fmt, ...)
    PRINTF(2, 3);                                 /* the same, and on the line for people */
void test_skip(struct test *t, const char *why);  /* the machine cannot run it: SKIP */
void test_blind(struct test *t, const char *why); /* it ran, but could not have failed here: SKIP-BLIND */

/* True if the check held; else prints the detail. */
#define CHECK(t, cond, ...)                                                                                  \
    (test_check((t), (cond), #cond, __FILE__, __LINE__) || (test_detail((t), __VA_ARGS__), false))
/* As CHECK, and leaves the test function when it fails. */
#define REQUIRE(t, cond, ...)                                                                                \
    do {                                                                                                     \
        if (!CHECK(t, cond, __VA_ARGS__))                                                                    \
            return;                                                                                          \
    } while (0)

/* How often to do what costs every CPU something, or each CPU a turn: `usual` times with up to TEST_CPUS_USUAL CPUs online, with more of
 * them in inverse proportion, so that the work as a whole does not grow with their number; never fewer than `least`. */
#define TEST_CPUS_USUAL 8u
u32 test_rounds(u32 usual, u32 least);

/* Runs the named tests ("all", or names with commas; NAME* is every name that begins so); prints a line for each and the JSON
 * records; true if none failed, and each name was one of a test. THREAD on CPU 0. */
bool test_run(const char *names);
/* What test= on the command line asks for; NULL if nothing. */
const char *test_requested(void);
/* A test has failed since boot. */
bool test_failed_ever(void);
