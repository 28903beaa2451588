/* A tree of page tables of one's own, loaded for single accesses with interrupts off. The kernel half is shared;
 * the user half is the test's, and holds supervisor pages, so that SMAP and SMEP stay out of it. */
#pragma once

#include "mm/pt.h"
#include "tests/test.h"

struct tree {
    struct pt pt;
    struct pt_pool pool;
};

/* False, and a failed check, if there is no memory. */
bool tree_make(struct test *t, struct tree *tree);
/* Leaves are the caller's. */
void tree_free(struct tree *tree);

/* 0, or the vector of the fault. Each load of CR3 forgets what the CPU knew about the tree. */
int tree_read(const struct tree *tree, vaddr_t va, u64 *out);
int tree_write(const struct tree *tree, vaddr_t va, u64 value);
int tree_call(const struct tree *tree, vaddr_t va, u64 *out);
