/* Stop points: the steps of a shootdown at which a test can hold a CPU, have it run a function, or make it wait for another
 * CPU (kernel/stop_point.h), so that races are played in a chosen order and not by luck.
 *
 *     STOP_POINT(STOP_GENERATION);
 *
 * Off, a point is one NOP and takes no register: on, the NOP becomes a jump to a stub which keeps all of them (lib/patch.h,
 * key PATCH_STOP). For the compiler it is a barrier to memory accesses, on or off, so that what stands before it in the
 * source has been done when a CPU is held there. Never in what an NMI handler runs: code is patched while NMIs come.
 *
 * On the host, host_stop_point is called, where somebody has defined it. */
#pragma once

#include "lib/types.h"

/* Named by what has just been done. The steps are those of docs/shootdown-protocol.md. */
#define STOP_POINTS_LIST(X)                                                                                  \
    /* the initiator */                                                                                      \
    X(STOP_CHANGED, "changed", "initiator: entries changed (1), space locked")                               \
    X(STOP_GENERATION, "generation", "initiator: generation raised (2), space locked")                       \
    X(STOP_MASK, "mask", "initiator: mask read (2), space locked")                                           \
    X(STOP_UNLOCKED, "unlocked", "initiator: lock dropped (3), nobody told")                                 \
    X(STOP_POSTED, "posted", "initiator: messages posted, doorbells rung (4 to 6)")                          \
    X(STOP_LOCAL, "local", "initiator: flushed here (7)")                                                    \
    X(STOP_WAIT, "wait", "initiator: about to wait (10)")                                                    \
    X(STOP_RELEASE, "release", "initiator: waited, about to give memory back (10)")                          \
    /* a target */                                                                                           \
    X(STOP_ENTERED, "entered", "target: in the handler, inbox not looked at (8)")                            \
    X(STOP_TAKEN, "taken", "target: pending word taken (8)")                                                 \
    X(STOP_PENDING, "pending", "target: pending count raised (9)")                                           \
    X(STOP_ACKED, "acked", "target: acknowledged on entry, and published it; not flushed (9)")               \
    X(STOP_FLUSHED, "flushed", "target or initiator: flushed here, not published (9)")                       \
    X(STOP_PUBLISHED, "published", "target: published, pending count not lowered (9)")                       \
    X(STOP_DRAINED, "drained", "target: all messages run, interrupt not ended")                              \
    /* a CPU that loads or leaves a space */                                                                 \
    X(STOP_SWITCHING, "switching", "loader: about to set its bit in the mask (11)")                          \
    X(STOP_JOINED, "joined", "loader: bit set, generation not read (11)")                                    \
    X(STOP_GEN_READ, "gen_read", "loader: generation read, root not loaded (11)")                            \
    X(STOP_ROOT, "root", "loader: root loaded, not published (11)")                                          \
    X(STOP_LOADED, "loaded", "loader: new space loaded, bit in the old one not cleared (12)")                \
    X(STOP_BORROWED, "borrowed", "borrower: gate closed, bit in the active mask not cleared")

enum stop_point {
#define STOP_POINT_ENUM(id, name, what) id,
    STOP_POINTS_LIST(STOP_POINT_ENUM)
#undef STOP_POINT_ENUM
        STOP_POINTS,
};

#ifdef VOLLEY_HOST
void host_stop_point(enum stop_point p) __attribute__((weak));
#define STOP_POINT(p) (host_stop_point ? host_stop_point(p) : (void)0)
#else
#include "lib/patch.h"
/* The stub lies behind all functions, and pushes the point's number for stop_point_stub (kernel/stop_point.asm). */
#define STOP_POINT(p)                                                                                        \
    __asm__ volatile("1:\t.byte 0x0f, 0x1f, 0x44, 0x00, 0x00\n" /* as in lib/patch.h */                      \
                     "2:\n\t"                                                                                \
                     ".pushsection .text.stop_points, \"ax\"\n"                                              \
                     "3:\tpushq %0\n\t"                                                                      \
                     "call stop_point_stub\n\t"                                                              \
                     "jmp 2b\n\t"                                                                            \
                     ".popsection\n\t"                                                                       \
                     ".pushsection .patch_sites, \"a\"\n\t"                                                  \
                     ".quad 1b, 3b, %c1\n\t"                                                                 \
                     ".popsection" ::"i"(p),                                                                 \
                     "i"(PATCH_STOP)                                                                         \
                     : "memory")
#endif
