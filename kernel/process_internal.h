/* What the files kernel/process*.c share. */
#pragma once

#include "kernel/process.h"
#include "kernel/program.h"
#include "lib/spinlock.h"

enum record_state {
    RECORD_FREE,
    RECORD_LIVE, /* handle 0: being created */
    RECORD_DONE, /* ended; the status waits for who joins it, until the record is needed */
};

struct thread_record {
    thread_handle_t handle;
    u8 state;    /* enum record_state */
    u8 stack;    /* number of its stack slot, plus 1; 0: a stack of the program's own */
    u16 joiners; /* threads that wait for it */
    s64 status;  /* of a RECORD_DONE */
    u64 ended;   /* the how manieth of the process to end */
};

/* A thread that waits for something to change in a process. Lies on its kernel stack. */
struct waiter {
    struct thread *thread;
    struct waiter *next;
};

/* How a process's status came about: a later, stronger one replaces a weaker one. */
enum ending { ENDING_NONE, ENDING_THREAD, ENDING_FAULT, ENDING_PROCESS };

struct process {
    struct space *space;
    const struct program *program;
    u32 number;
    u32 refs; /* changed under process.c's lock */
    spinlock_t
        lock; /* guards what follows; taken after process.c's; nothing but thread_wake is called under it */
    u32 live; /* records that are RECORD_LIVE */
    bool killed; /* no thread may begin any more */
    u8 ending;   /* enum ending */
    s64 status;
    u64 threads_ended;
    u32 faults; /* of these, by a fault */
    struct waiter *waiters;
    u32 share_count; /* changed by process_share_pages only, whose callers take turns */
    struct {
        paddr_t block;
        u32 order;
    } share[PROCESS_SHARES_MAX];
    struct thread_record record[PROCESS_THREADS_MAX];
};
_Static_assert(sizeof(struct process) <= PAGE_SIZE, "one frame a process, as docs/memory-map.md says");

/* Everybody who waits looks again. p->lock held. */
void process_wake(struct process *p);
/* The record of a handle; NULL: none. p->lock held. */
struct thread_record *process_record(struct process *p, thread_handle_t h);
/* The status of the process, unless a stronger one is there. p->lock held. */
void process_set_status(struct process *p, enum ending how, s64 status);

/* process_image.c: the program's segments, for a space without regions. ERR_NOMEM, ERR_FULL. */
err_t process_map_image(struct process *p) MUST_CHECK;
/* A stack: its slot, below PROCESS_THREADS_MAX. Errors of region_map; ERR_FULL: no slot is free. */
err_t process_map_stack(struct process *p, u32 *slot) MUST_CHECK;
void process_unmap_stack(struct process *p, u32 slot);
static inline vaddr_t process_stack_top(u32 slot)
{
    return USER_STACKS_BASE + (slot + 1) * USER_STACK_SLOT;
}
