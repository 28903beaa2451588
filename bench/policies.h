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
/* Waits until every CPU that has s loaded has published the last generation at the level that p declares for a release: so far what was unmapped
 * is gone there too. Nobody changes s, and all stay in it, meanwhile. CPU_NONE, or one that has not. THREAD. */
cpu_t bench_wait_gone(struct space *s, const struct shootdown_policy *p);
