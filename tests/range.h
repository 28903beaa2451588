/* Ranges under observation: every CPU caches every page of a range and its two neighbours; the range is unmapped; every CPU
 * looks at each page. Static state: one check at a time. */
#pragma once

#include "mm/space.h"
#include "tests/test.h"

/* TCG keeps at most 64 entries alive after a reload of CR3, until it has seen more use, so ranges that are to be caught there
 * stay below that, with their two neighbours. */
#define RANGE_PAGES_MAX 62u

/* A user space that the running CPU has loaded, for range_check. False: no memory, and the test has failed. */
bool range_begin(struct test *t);
void range_end(void);

/* Maps [start, start + pages) and a page on either side, with the given rights, has every CPU use them, unmaps the range, and
 * checks that every CPU faults on each of its pages and still finds both neighbours. Kernel addresses mean kernel_space. Leaves
 * nothing mapped. */
void range_check(struct test *t, vaddr_t start, u32 pages, u32 prot);
/* The same under every policy that claims to be right. */
void range_check_policies(struct test *t, vaddr_t start, u32 pages, u32 prot);
