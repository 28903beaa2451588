/* The program's side of kernel/abi/workload.h. */
#pragma once

#include "kernel/abi/workload.h"
#include "user/lib/types.h"

/* The pages shared with the kernel; NULL: the program runs on its own. */
struct workload *workload_of(u64 arg);
/* The thread's number, below WORKLOAD_THREADS; 0 on its own. */
u64 workload_number(u64 arg);
/* Has the kernel asked the program to end? Never, on its own. */
bool workload_stopped(const struct workload *w);

/* How many rounds, or seconds: the kernel's choice, or the argument, or `usual`. */
u64 workload_count(const struct workload *w, u64 arg, u64 usual);
/* How many threads beside the first: the kernel's choice, or one for each other CPU, at most `most`. */
u64 workload_threads(const struct workload *w, u64 most);

/* PAUSEs for a wait of `usual` of them: fewer with more than 8 CPUs, as in an emulator each is a turn of every CPU; at least `least`. */
u64 workload_pauses(u64 usual, u64 least);

/* The loop of one responder: touches w->busy all the time, and the whole range once a round, until the kernel says stop. */
void workload_respond(struct workload *w, u64 number);
/* The initiator's side: a new round; waits until `count` threads have touched the range. False: the kernel said stop. */
bool workload_begin_round(struct workload *w, u64 count);

/* Nanoseconds since boot. */
u64 workload_ns(void);
