/* Who called whom: a walk along the frame pointers, which the build keeps, through interrupts too. */
#pragma once

#include "kernel/trap.h"
#include "lib/types.h"

#define BACKTRACE_MAX 24u

enum backtrace_kind {
    BACKTRACE_HERE,      /* rip is where execution stood */
    BACKTRACE_CALLER,    /* rip is a return address, behind a CALL */
    BACKTRACE_PERHAPS,   /* so it seems: found on top of the stack, in no frame */
    BACKTRACE_INTERRUPT, /* rip is where an interrupt or exception came */
};

struct backtrace {
    u32 count;
    struct {
        u64 rip;
        u16 kind, vector; /* vector: of a BACKTRACE_INTERRUPT */
        u32 times;        /* the same return address so often in a row: recursion */
    } at[BACKTRACE_MAX];
};

/* Walks from rip with stack pointer rsp (0: unknown) and frame pointer rbp; stops at the first implausible frame. It
 * reads nothing that is not mapped: every address is looked up in the loaded tables first. Any context, NMI included;
 * the stack must be this CPU's own, or that of a CPU that stands still.
 *
 * rsp matters where a function was interrupted that has no frame, or not yet: then its caller is on top of the stack
 * only. */
void backtrace_capture(u64 rip, u64 rsp, u64 rbp, struct backtrace *out);
void backtrace_write(const struct backtrace *b);

/* An aligned word in the kernel half, mapped, not device memory. Any context. */
bool backtrace_can_read(u64 address);

/* "function+0x12", or the address alone. */
void backtrace_name(char *out, size_t size, u64 address);

/* The NMI handler's part of backtrace_remote: fills what was asked for; false if nothing was. */
bool backtrace_answer_nmi(const struct trap_frame *f);
