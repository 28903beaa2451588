/* ASSERT is always compiled in: it guards coherence, and costs a compare. DEBUG_ASSERT is for hot paths, in builds with
 * DEBUG=1 only. Both name the expression, the place and a sentence that says what it means. */
#pragma once

#include "lib/types.h"

/* Supplied by kernel/panic.c, and by the test harness on the host. */
NORETURN COLD void assert_failed(const char *expr, const char *file, int line, const char *meaning);
NORETURN COLD void panic(const char *fmt, ...) PRINTF(1, 2);

#define ASSERT(cond, meaning)                                                                                \
    do {                                                                                                     \
        if (unlikely(!(cond)))                                                                               \
            assert_failed(#cond, __FILE__, __LINE__, meaning);                                               \
    } while (0)

#ifdef VOLLEY_DEBUG
#define DEBUG_ASSERT(cond, meaning) ASSERT(cond, meaning)
#else
#define DEBUG_ASSERT(cond, meaning)                                                                          \
    do {                                                                                                     \
        if (0)                                                                                               \
            (void)(cond);                                                                                    \
    } while (0)
#endif
