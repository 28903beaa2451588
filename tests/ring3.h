/* A few instructions in ring 3, without a thread or a process: in a space of their own, entered by trap_user_enter, left by
 * the exception that ends them. tests/ring3_code.asm has the instructions.
 *
 *   struct ring3 r;
 *   if (ring3_open(t, &r)) {
 *       struct trap_frame f = ring3_frame(&r, RING3_CODE(ring3_system_call));
 *       f.rax = SYS_NULL;
 *       ring3_run(&r, &f);                       f is then as the exception found it
 *       CHECK(t, f.vector == EXC_INVALID_OPCODE, ...);
 *   }
 *   ring3_close(&r);
 *
 * THREAD on CPU 0, one at a time. Meanwhile exceptions of ring 3 on this CPU belong to the test. */
#pragma once

#include "kernel/trap.h"
#include "mm/space.h"
#include "tests/test.h"

#define RING3_VA      0x0000100000400000ull          /* the code page, read-only and executable */
#define RING3_DATA    (RING3_VA + PAGE_SIZE)         /* a writable page */
#define RING3_STACK   (RING3_VA + 3 * PAGE_SIZE)     /* top of a page of stack; nothing is mapped above */
#define RING3_NOWHERE (RING3_VA + 0x100 * PAGE_SIZE) /* not mapped */

struct ring3 {
    struct space *space;
    void *code, *data; /* the kernel's view of the two pages */
    u64 stack_top;     /* of the kernel stack in use meanwhile */
    vaddr_t address;   /* CR2 of the page fault that ended the last run */
    u32 frames;        /* exceptions seen since ring3_open */
    bool (*explain)(struct ring3 *r, struct trap_frame *f, vaddr_t address); /* true: go on; NULL: nothing */
};

/* Maps the pages, copies the code, loads the space. False: failed, and said so; ring3_close all the same. */
bool ring3_open(struct test *t, struct ring3 *r);
void ring3_close(struct ring3 *r);

/* Address in ring 3 of a label of tests/ring3_code.asm. */
extern const char ring3_code[], ring3_code_end[];
#define RING3_CODE(label) (RING3_VA + (u64)((const char *)(label)-ring3_code))

/* Registers to begin with: RIP, RSP, interrupts on, all else 0. */
struct trap_frame ring3_frame(const struct ring3 *r, vaddr_t entry);
/* Runs from *f until an exception that nobody explains; leaves its frame in *f. Interrupts on. */
void ring3_run(struct ring3 *r, struct trap_frame *f);

/* Faults of copies to and from the space go to r->explain too, between these two. */
void ring3_watch(struct ring3 *r, bool on);
