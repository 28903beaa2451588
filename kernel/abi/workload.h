/* What the kernel's benchmarks and tests share with the programs of user/: pages that both see (process_share_pages), and the
 * argument that a thread begins with. As kernel/abi/syscall.h, includes nothing of either side.
 *
 * A thread that the kernel starts as part of a benchmark or test gets WORKLOAD_VA + its number, below WORKLOAD_THREADS. Any argument
 * below SYS_PAGE is of a program on its own, as `run NAME CPU ARG` starts it: how many seconds, or rounds, 0 for its default. */
#pragma once

#include <stdint.h>

#define WORKLOAD_VA      0x0000200000000000ull /* above where `va 0` of SYS_MAP looks first */
#define WORKLOAD_THREADS 512u
#define WORKLOAD_SAMPLES 4096u
#define WORKLOAD_TEXT    160u

/* What the program `courier` times, between its first thread and a second one. */
enum workload_mail {
    WORKLOAD_MAIL_NULL, /* a system call that does nothing */
    WORKLOAD_MAIL_SEND, /* a message to a thread that waits on the next CPU: from its sending to the first instruction there */
    WORKLOAD_MAIL_CALL,      /* a call and its reply, the other thread on the next CPU */
    WORKLOAD_MAIL_CALL_HERE, /* the same, the other thread on this CPU */
    WORKLOAD_MAIL_YIELD,     /* to the other thread of this CPU and back */
    WORKLOAD_MAILS,
};

/* What the program `mail` does: its tests; or one thread that waits for messages; or its first thread ends beside another that runs. */
enum workload_wait { WORKLOAD_MAIL_TESTS, WORKLOAD_MAIL_WAITS, WORKLOAD_MAIL_LEAVES };

#define WORKLOAD_LINE __attribute__((aligned(64))) /* a cache line to itself */

/* What the program `initiator` times: a system call; or, without responders that touch the range, a page given back and touched again. */
enum workload_op { WORKLOAD_NULL, WORKLOAD_DISCARD, WORKLOAD_UNMAP, WORKLOAD_PROTECT, WORKLOAD_RENEW };

/* Written by one thread, read by whoever likes. */
struct workload_thread {
    uint64_t turns;  /* how often it has touched its busy page, or been round its loop */
    uint64_t rounds; /* in how many rounds it has touched the whole range */
    uint64_t cpu;    /* where it began */
} WORKLOAD_LINE;

/* What a program that tests the kernel has found. */
struct workload_verdict {
    uint64_t checks, failures;   /* the failures are also the process's status */
    char failure[WORKLOAD_TEXT]; /* the first of them in words */
};

struct workload {
    /* Set by the kernel before it starts the threads; 0 is each program's own choice. */
    uint64_t start, pages;  /* responder, initiator: the range under test */
    uint64_t busy;          /* responder: one page that stays mapped, touched in every turn */
    uint64_t rounds_before; /* what `round` is when the threads are started: not one to serve */
    uint64_t threads;       /* beside the first */
    uint64_t count;         /* rounds to run */
    uint64_t op;            /* enum workload_op; courier: enum workload_mail; mail: enum workload_wait */

    /* Raised by the initiator, in the kernel or in ring 3, when all of the range is mapped: touch it once. */
    uint64_t round WORKLOAD_LINE;
    uint64_t served WORKLOAD_LINE; /* threads that have touched it in this round; LOCKed increments */
    uint64_t stop WORKLOAD_LINE;   /* set by the kernel: come to an end */

    /* Set by the program. */
    struct workload_verdict verdict WORKLOAD_LINE;
    uint64_t samples;  /* of the initiator, so far */
    uint64_t overhead; /* ticks between two readings of the clock with nothing between, in ring 3 */

    struct workload_thread thread[WORKLOAD_THREADS];
    uint64_t sample[WORKLOAD_SAMPLES];
};
