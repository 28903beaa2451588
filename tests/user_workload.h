/* Programs of ring 3 as tests: started with pages shared with the kernel (kernel/abi/workload.h), judged by their status and by what
 * they say of their checks. */
#pragma once

#include "kernel/abi/workload.h"
#include "kernel/process.h"
#include "tests/test.h"

struct user_run {
    struct process *process; /* NULL: it could not be started */
    struct workload *w;      /* the shared pages, as long as the process is held */
    s64 status;
};

/* Creates the process and its shared pages; no thread yet. False: a check has failed. */
bool user_open(struct test *t, struct user_run *r, const char *program);
/* Starts its first thread, numbered 0, on that CPU. */
bool user_start(struct test *t, struct user_run *r, cpu_t cpu);
/* Waits until it has ended, whose status then is r->status. A program that does not end is killed, and the test has failed. */
bool user_wait(struct test *t, struct user_run *r);
/* Gives the process back. */
void user_close(struct user_run *r);

/* All of that: runs the program with its first thread on that CPU, `count` rounds (0: its own choice), and demands that it made at least
 * `least` checks, all of which held. Returns how many. */
u64 user_run(struct test *t, const char *program, cpu_t cpu, u64 count, u64 least);
