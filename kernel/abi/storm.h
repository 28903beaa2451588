/* What the self test `storm` shares with its program, user/storm.c: one page for each process. As kernel/abi/workload.h, includes nothing
 * of either side. */
#pragma once

#include "kernel/abi/workload.h"

/* Kinds of operations: id, name, and who does them: K kernel threads, R threads of ring 3, B both. Each has to happen in every storm. */
#define STORM_KINDS_LIST(X)                                                                                  \
    X(STORM_MAP, "map", B)                                                                                   \
    X(STORM_UNMAP, "unmap", B)                                                                               \
    X(STORM_PROTECT, "protect", B)                                                                           \
    X(STORM_DISCARD, "discard", B)                                                                           \
    X(STORM_REMAP, "remap", B)                                                                               \
    X(STORM_HARVEST, "harvest", B)                                                                           \
    X(STORM_MIGRATE, "migrate", B) /* a thread to another CPU */                                             \
    X(STORM_CREATE, "create", B)   /* a space; a process */                                                  \
    X(STORM_COPY, "copy", B)       /* the same, copy-on-write */                                             \
    X(STORM_DESTROY, "destroy", B) /* a space; a process that has ended */                                   \
    X(STORM_PARK, "park", K)       /* a CPU; and unpark */                                                   \
    X(STORM_THREAD, "thread", R)   /* created and joined by another one */                                   \
    X(STORM_FAULT, "fault", R)     /* that brings a page in */                                               \
    X(STORM_CRASH, "crash", R)     /* a thread that touches a page which has just been taken away */         \
    X(STORM_SEND, "send", R)                                                                                 \
    X(STORM_RECEIVE, "receive", R)                                                                           \
    X(STORM_CALL, "call", R)               /* and the reply */                                               \
    X(STORM_EXIT, "exit", R)               /* processes that came to their own end */                        \
    X(STORM_KILL, "kill", R)               /* processes that were killed; and what their threads were in: */ \
    X(STORM_IN_CALL, "kill@syscall", R)    /* a system call on their address space */                        \
    X(STORM_IN_RECEIVE, "kill@receive", R) /* waiting for a message */                                       \
    X(STORM_IN_REPLY, "kill@call", R)      /* waiting for a reply */                                         \
    X(STORM_IN_FAULT, "kill@fault", R)     /* a page fault */                                                \
    X(STORM_TO_DEAD, "send@dead", R)       /* messages to a thread that had ended or was ending */

enum storm_kind {
#define STORM_KIND_ENUM(id, name, who) id,
    STORM_KINDS_LIST(STORM_KIND_ENUM)
#undef STORM_KIND_ENUM
        STORM_KINDS,
};

/* What a thread is about to do; what it says when it has ended is where it was killed. */
enum storm_phase {
    STORM_PHASE_NONE, /* not begun, or ended by itself */
    STORM_PHASE_RUN,
    STORM_PHASE_SYSCALL, /* on the address space */
    STORM_PHASE_RECEIVE,
    STORM_PHASE_CALL,
    STORM_PHASE_FAULT,
    STORM_PHASES,
};

#define STORM_THREADS 6u
#define STORM_PEERS   16u
#define STORM_VA      WORKLOAD_VA

struct storm_share {
    /* Set by the kernel. */
    uint64_t seed; /* of all choices */
    uint64_t stay; /* threads pin themselves */
    uint64_t stop; /* come to an end */
    uint64_t peer
        [STORM_PEERS]; /* handles of threads of any storm process that take messages, ended ones too; 0: none */

    /* Set by the program. */
    uint64_t receiver; /* its own thread that takes messages */
    struct workload_verdict verdict WORKLOAD_LINE;
    struct {
        uint64_t phase;
        uint64_t done[STORM_KINDS];
    } thread[STORM_THREADS] WORKLOAD_LINE; /* written by one thread each */
};
_Static_assert(sizeof(struct storm_share) <= 4096, "one page");
