/* The harness of the host tests: each tests/host/NAME_test.c is one program. Its first comment says what is tested in a
 * sentence, and has two lines that tools/host-tests reads:
 *
 *     sources: mm/pt.c lib/string.c
 *     sanitize: address,undefined            (or: thread, none)
 *     flags: -DSOMETHING                     (if needed; libs: -lm likewise)
 *
 * It is compiled with -DVOLLEY_HOST -DVOLLEY_DEBUG -I. and the sanitizers, with host.c, which has main() and weak stand-ins
 * for what lower rooms expect of a machine; a test overrides those that it wants to observe. A test that checks nothing fails.
 *
 *     HOST_TEST(maps_one_page) { HOST_CHECK(pt_walk(&pt, va).present, "va %llx", va); } */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/types.h"

struct host_test {
    const char *name;
    void (*fn)(void);
    struct host_test *next;
};
void host_test_register(struct host_test *t);
void host_check_failed(const char *expr, const char *file, int line);
extern u64 host_checks, host_failures;

#define HOST_TEST(ident)                                                                                     \
    static void ident(void);                                                                                 \
    __attribute__((constructor)) static void register_##ident(void)                                          \
    {                                                                                                        \
        static struct host_test t = {.name = #ident, .fn = ident};                                           \
        host_test_register(&t);                                                                              \
    }                                                                                                        \
    static void ident(void)

/* The running test cannot be had on this host: its result is SKIP, with the reason. */
void host_skip(const char *why);

/* Counts a check; prints expression and the printf-style message behind a failure. Returns whether it held. */
bool host_check(bool ok, const char *expr, const char *file, int line, const char *fmt, ...) PRINTF(5, 6);
#define HOST_CHECK(cond, ...) host_check((cond), #cond, __FILE__, __LINE__, __VA_ARGS__)

/* Runs `statement` and checks that it ends in panic() or a failed ASSERT; the message is in host_panic_text. Single-threaded
 * tests only. */
#include <setjmp.h>
extern jmp_buf host_panic_jump;
extern bool host_panic_expected;
extern char host_panic_text[256];
#define HOST_CHECK_PANICS(statement)                                                                         \
    do {                                                                                                     \
        host_panic_expected = true;                                                                          \
        if (setjmp(host_panic_jump) == 0) {                                                                  \
            statement;                                                                                       \
            host_panic_expected = false;                                                                     \
            HOST_CHECK(false, "%s did not panic", #statement);                                               \
        } else {                                                                                             \
            host_panic_expected = false;                                                                     \
            HOST_CHECK(true, "%s", #statement);                                                              \
        }                                                                                                    \
    } while (0)

/* Which CPU the calling host thread plays. */
extern __thread cpu_t host_cpu_index;
