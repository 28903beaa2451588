/* Which tests a list of names means: "all", or names with commas; NAME* is every name that begins so. Pure; any context. */
#pragma once

#include "lib/types.h"

/* NULL if every word of the list is one of a test (or "all"); else a sentence that names the wrong word and tests that are
 * called nearly so. The sentence stays valid until the next call. */
const char *test_names_check(const char *names);
bool test_names_match(const char *names, const char *test);
