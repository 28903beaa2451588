/* The policies that a benchmark goes over: the one that was chosen, or every one that can be measured on this machine. */
#pragma once

#include "mm/shootdown.h"

#define BENCH_POLICIES_MAX 24u

struct bench_policies {
    u32 count;
    const struct shootdown_policy *policy[BENCH_POLICIES_MAX];
};
struct bench_policies bench_policies(void);
