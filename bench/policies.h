/* The policies that a benchmark goes over: the one that was chosen, or every one that can be measured on this machine. */
#pragma once

#include "mm/shootdown.h"

#define BENCH_POLICIES_MAX 24u

struct bench_policies {
    u32 count;
    const struct shootdown_policy *policy[BENCH_POLICIES_MAX];
};
struct bench_policies bench_policies(void);

struct bench_run;
/* measure() under each of them, until time is out; then the policy is as before. `head` is the table's. THREAD on CPU 0. */
void bench_each_policy(struct bench_run *b, const char *head,
                       void (*measure)(struct bench_run *b, const struct shootdown_policy *p));

/* Loads the space, NULL for none, on the running CPU. THREAD. */
void bench_load(struct space *s);
/* A page of the loaded space is mapped, touched, and taken away. True if the table says that it is gone. THREAD. */
bool bench_map_and_unmap(struct space *s, vaddr_t va) MUST_CHECK;
