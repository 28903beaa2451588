/* What the files kernel/thread*.c and kernel/park.c share. */
#pragma once

#include "kernel/thread.h"
#include "kernel/thread_queue.h"
#include "kernel/thread_sleep.h"
#include "kernel/trap.h"
#include "lib/atomic.h"

/* ---- kernel/thread_table.c ---- */
void thread_table_init(void);
void thread_reaper_start(void);
/* A descriptor with one reference, state NEW, all else 0, and a stack if `stack`. ERR_FULL, ERR_NOMEM. THREAD. */
err_t thread_alloc(const char *name, bool stack, struct thread **out) MUST_CHECK;

/* ---- kernel/thread_switch.c; interrupts off ---- */
struct thread_cpu {
    struct thread_queue ready;
    struct thread_sleepers asleep;
    struct thread *idle;
    u64 switched;                       /* TSC at the last switch */
    u64 slice_end;                      /* TSC; of the running thread's slice, if others are ready */
    bool slicing;                       /* the timer is set for a slice's end */
    struct thread *wakes CACHE_ALIGNED; /* others push here: kernel/wake_list.h */
};
DECLARE_PERCPU(struct thread_cpu, thread_cpu);

/* What this CPU waits for while it idles in the context of a thread that waits for a message and nothing else: set by
 * thread_block_for, and 0 again as soon as anybody is ready here, that thread included. */
struct thread_awaited {
    u32 what; /* the upper half of the message's `what` (kernel/mailbox_fast.h), 0 for none, or THREAD_RESUMES */
    const thread_handle_t *from; /* where its sender has left his handle */
    struct trap_frame *frame;    /* of the thread's system call */
};
DECLARE_PERCPU(struct thread_awaited, thread_awaited);
/* No message's upper half, whose tag would have to name a thread above THREAD_MAX. */
#define THREAD_RESUMES 1u

/* As thread_block, for a message: if it comes while the CPU idles here, the message function may put what the system call is to return
 * into the thread's frame, by thread_resume: then this does not return. */
void thread_block_for(u32 what, const thread_handle_t *from);

/* By the function of the message that is awaited here. Behind the drain the CPU does not go back to where it was interrupted, in
 * idle_wait, but to ring 3 by this frame; what the thread had on its stack is forgotten (kernel/trap_entry.asm). Whatever is
 * wanted of it from now on (its end, its move, the parking of the CPU) finds it running, and sets user_work, which is looked at on
 * that way too. */
static ALWAYS_INLINE struct trap_frame *thread_resume(void)
{
    DEBUG_ASSERT(thread_self()->state == THREAD_BLOCKED, "only who waits for a message is given it");
    this_cpu(thread_awaited.what) = THREAD_RESUMES;
    thread_self()->state = THREAD_RUNNING;
    return this_cpu(thread_awaited.frame);
}

/* thread_wake with interrupts off, short for a thread in whose context this CPU idles, while nobody else is ready: it goes on at once.
 * What else could be wanted of it finds it running then, as above. */
static ALWAYS_INLINE void thread_wake_irqoff(struct thread *t)
{
    if (likely(t == thread_self() && t->state == THREAD_BLOCKED && !this_cpu(thread_cpu.ready.first))) {
        t->state = THREAD_RUNNING;
        this_cpu(thread_awaited.what) = 0;
    } else {
        thread_wake(t);
    }
}

/* The boot code that is running becomes thread t, which is the running one. */
void thread_adopt(struct thread *t);
/* Ends the first half of a switch: what ran before is put where it belongs. */
void thread_switched(struct thread *prev);
/* Runs what is ready, t being the idle thread. False: nobody is. */
bool thread_run_ready(void);
/* Gives the CPU to the next; the caller's state is set. Returns when it runs again. */
void thread_reschedule(void);
/* The running thread is to let others run, or to leave this CPU, when it next returns to ring 3. */
void thread_request_resched(void);
/* Everybody who is ready goes where he is wanted: for a CPU that has just been parked. IPI. */
void thread_clear_queue(void);
/* Is nobody ready or running? */
bool thread_cpu_is_idle(void);
/* Wakes those whose time has come. Are there others left? For the idle loop where there is no timer. */
bool thread_poll_sleepers(void);
/* ---- kernel/park.c: the next CPU in turn that takes threads ---- */
cpu_t thread_any_cpu(void);

/* ---- kernel/thread.c: where a thread begins, called by kernel/switch.asm ---- */
NORETURN void thread_begin(struct thread *prev);
void thread_begin_user(struct thread *prev);

/* kernel/switch.asm */
struct thread *thread_switch(struct thread *prev, struct thread *next);
extern const char thread_start_kernel[], thread_start_user[];
