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

/* thread_wake with interrupts off, short for a thread in whose context this CPU idles, while nobody else is ready: it goes on at once.
 * What else could be wanted of it (its end, its move, the parking of the CPU) finds it running then, and sets user_work. */
static ALWAYS_INLINE void thread_wake_irqoff(struct thread *t)
{
    if (likely(t == thread_self() && t->state == THREAD_BLOCKED && !this_cpu(thread_cpu.ready.first)))
        t->state = THREAD_RUNNING;
    else
        thread_wake(t);
}

/* Waits for a message that is delivered to kernel/mailbox.c: as thread_block, but if the delivery finds the thread here, it may put
 * what the system call is to return into the thread's frame, and thread_resume: then this does not return. */
void thread_block_resumable(void);
/* Set by a message function: behind the drain the CPU does not go back to where it was interrupted, in idle_wait, but to ring 3 by this
 * frame of a system call; what the thread had on its stack is forgotten (kernel/trap_entry.asm). */
DECLARE_PERCPU(struct trap_frame *, thread_resume_frame);
/* Is t, of this CPU, in thread_block_resumable, with nothing else to be done here? IPI. */
static ALWAYS_INLINE bool thread_can_resume(const struct thread *t)
{
    return t == thread_self() && t->resumable && !this_cpu(thread_cpu.ready.first) &&
           !this_cpu(percpu_head.user_work);
}
static ALWAYS_INLINE struct trap_frame *thread_resume(struct thread *t)
{
    struct trap_frame *f = (struct trap_frame *)t->stack_top - 1;
    t->state = THREAD_RUNNING;
    t->resumable = false;
    this_cpu(thread_resume_frame) = f;
    return f;
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
