/* seconds=N and seed=N on the command line: for the tests that can go on for ever, and whose choices are random (storm, fuzz). */
#pragma once

#include "lib/types.h"

#define TEST_FOR_EVER ~0ull

/* How long, in milliseconds: `usual` if nothing was asked for, TEST_FOR_EVER for seconds=0: until a key is pressed. */
u64 test_duration_ms(u64 usual);
/* 1 if nothing was asked for. */
u64 test_seed(void);
