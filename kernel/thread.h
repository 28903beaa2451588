/* Threads: a kernel stack, a state, a CPU, and for those of ring 3 a process.
 *
 * Each CPU has a run queue that only it touches, with interrupts off: round robin, a time slice where more than one is ready.
 * Kernel code is never preempted; a thread of ring 3 is, when an interrupt or system call returns to it (user_return_work).
 * Waking goes through a lock-free list of the thread's CPU and its doorbell, so it allocates nothing and cannot be lost.
 * All changes of a thread's state are made by the CPU that it is on. */
#pragma once

#include "kernel/mail_door.h"
#include "lib/assert.h"
#include "lib/atomic.h"
#include "lib/cpumask.h"
#include "lib/percpu.h"
#include "lib/types.h"

struct process;
struct space;
struct trap_frame;

enum thread_state {
    THREAD_FREE,  /* the descriptor is unused */
    THREAD_NEW,   /* created, not started */
    THREAD_READY, /* in its CPU's run queue, or on its way there */
    THREAD_RUNNING,
    THREAD_BLOCKED, /* in thread_block */
    THREAD_DEAD,    /* has run for the last time */
};

typedef u32 thread_handle_t; /* generation << 16 | index; never 0; what ring 3 gets */

#define THREAD_MAX      4096u /* limit of the machine: 16 KiB of stack each, and a frame for those of ring 3 */
#define THREAD_NAME_MAX 24u

/* Four cache lines; the descriptors lie in one array for ever, so that a handle can be looked up without a lock. */
struct thread {
    /* Its own CPU's alone. */
    u64 rsp; /* saved by the switch; offset 0, known to kernel/switch.asm */
    u64 stack_top;
    struct space *space; /* what it runs in; NULL: only the kernel half */
    void *fpu;           /* XSAVE area (kernel/fpu.c); NULL: a kernel thread */
    cpu_t fpu_cpu;       /* whose registers still hold its state, if that CPU's fpu_owner agrees */
    u8 state;            /* enum thread_state; written by its CPU */
    bool queued;         /* READY, and in its CPU's run queue */
    bool woken;          /* a wake came while it was not blocked: its next thread_block returns at once */
    bool expired;        /* its deadline has passed */
    u64 runtime_tsc;     /* ticks that it has run, up to its last switch */
    u64 switches;        /* times that it was switched to */

    /* Others write these too. */
    u32 refs CACHE_ALIGNED; /* holders of the descriptor, and THREAD_WAKING: see kernel/thread_table.c */
    thread_handle_t handle;
    cpu_t cpu;        /* that it is on; changed by that CPU only, when it sends the thread elsewhere */
    cpu_t cpu_wanted; /* CPU_NONE, or where the next switch takes it */
    u16 index;
    bool killed;   /* set by anyone: it exits at its next return to ring 3, or from its next wait */
    bool pinned;   /* stays on its CPU when others are idle; keeps the CPU from being parked */
    bool service;  /* a kernel thread that belongs to its CPU, parked or not */
    bool arriving; /* sent to `cpu`, and not yet taken in there */
    struct thread *wake_next; /* wake list, or list of dead ones */
    struct mailbox *mailbox;  /* kernel/mailbox.c; NULL: a kernel thread */
    struct mail_door mail;    /* in front of it */
    u64 mail_what;            /* kernel/mailbox_fast.h: of the messages to it, but for the place */

    struct thread *queue_next CACHE_ALIGNED, *queue_prev; /* run queue */
    struct thread *sleep_child, *sleep_next, *sleep_prev; /* sleep queue: kernel/thread_sleep.h */
    u64 deadline;                                         /* TSC, while it is in the sleep queue */

    void (*fn)(void *arg) CACHE_ALIGNED; /* kernel threads */
    void *arg;
    struct process *process; /* NULL: a kernel thread */
    void *user_page;         /* ring 3: the frame of mailbox and XSAVE area */
    char name[THREAD_NAME_MAX];
};
_Static_assert(sizeof(struct thread) == 256 && offsetof(struct thread, rsp) == 0,
               "four lines; kernel/switch.asm");

DECLARE_PERCPU(struct thread *, thread_current);
static ALWAYS_INLINE struct thread *thread_self(void)
{
    return this_cpu(thread_current);
}

/* Work that a CPU does before it returns to ring 3: bits of percpu_head.user_work, set by the CPU itself. */
enum user_work {
    USER_WORK_RESCHED = 1u << 0, /* someone else is ready, or this thread's slice is over */
    USER_WORK_KILLED = 1u << 1,  /* the running thread is to exit */
    USER_WORK_TLB = 1u << 2,     /* reserved for policies that flush before ring 3 */
    USER_WORK_BARRED =
        1u << 30, /* no work: these policies have not done theirs, and an IRETQ to ring 3 faults */
};
/* Called by trap_entry.asm and syscall_entry.asm when user_work is not 0: on the thread's kernel stack, irq_depth 0,
 * interrupts off; returns with interrupts off and no work left, or not at all. */
void user_return_work(void);

/* Boot CPU, once, after space_init and the calibration of the timer: makes the caller thread "boot" of CPU 0, and CPU 0's idle
 * thread. */
void thread_init(void);
/* Each AP, last, interrupts off: becomes that CPU's idle thread. */
NORETURN void thread_init_cpu(void);

/* A thread that runs fn(arg) in the kernel on that CPU; not started yet. ERR_NOMEM, ERR_FULL (THREAD_MAX), ERR_ABSENT (no such
 * CPU, or parked). THREAD. */
err_t thread_create(cpu_t cpu, const char *name, void (*fn)(void *arg), void *arg,
                    struct thread **out) MUST_CHECK;
/* The same for ring 3: begins at `entry` with RSP = stack and RDI = arg, all other registers 0. Holds a reference on the
 * process (process_ref). */
err_t thread_create_user(cpu_t cpu, struct process *p, vaddr_t entry, vaddr_t stack, u64 arg,
                         struct thread **out) MUST_CHECK;
void thread_start(struct thread *t); /* any context but NMI */
NORETURN void thread_exit(void);     /* THREAD; for ring 3's after process_thread_gone */

/* Waits until thread_wake. May return early: callers look at their condition again. THREAD, preemption on. */
void thread_block(void);
/* As thread_block; ERR_TIMEOUT when `deadline` (TSC) has passed first. */
err_t thread_block_until(u64 deadline) MUST_CHECK;
/* Makes t ready if it is blocked, else its next thread_block returns at once. What the caller wrote before is visible to t.
 * Any context but NMI, any CPU. The caller knows that t is not freed meanwhile. */
void thread_wake(struct thread *t);
void thread_yield(void);      /* THREAD */
void thread_sleep_us(u64 us); /* THREAD */
/* Moves t to that CPU: at once if it is the caller, else at its next switch. ERR_ABSENT: no such CPU, or parked. THREAD. */
err_t thread_move(struct thread *t, cpu_t to) MUST_CHECK;
/* The caller is being killed: the CPU's user_work as the message of thread_kill will leave it. Returns true. THREAD. */
bool thread_note_killed(void);
/* Is the caller, which is `self`, being killed? Then it does not see ring 3 again, whatever its system call returns because of that: who kills
 * it may not have told this CPU yet. THREAD. */
static ALWAYS_INLINE bool thread_is_killed(const struct thread *self)
{
    return unlikely(atomic_load_relaxed(&self->killed)) && thread_note_killed();
}

/* Sets killed and gets t out of ring 3 or its wait; it ends soon after. Any CPU, THREAD. */
void thread_kill(struct thread *t);

extern struct thread *thread_table; /* [THREAD_MAX] */
/* By index, below THREAD_MAX: no check of the generation, no reference; may be free. */
static ALWAYS_INLINE struct thread *thread_at(u32 index)
{
    return &thread_table[index];
}
/* By handle; NULL if it is gone, its descriptor given back. The descriptor stays valid until thread_put. Any context but NMI. */
static ALWAYS_INLINE struct thread *thread_get(thread_handle_t h);
static ALWAYS_INLINE void thread_put(struct thread *t);
u32 thread_count(void); /* descriptors in use, those of idle threads and other services too */
/* Gives back the stacks that no thread uses, which are otherwise kept for the next. THREAD. */
void thread_trim(void);

/* CPU parking: no thread runs there, no space is loaded; it still answers messages and the kernel's own shootdowns.
 * ERR_INVAL: CPU 0, the caller's own, or one that has pinned threads; ERR_TIMEOUT: a kernel thread there does not stop; then it is in
 * use as before. ERR_ABSENT. THREAD. */
err_t cpu_park(cpu_t cpu) MUST_CHECK;
err_t cpu_unpark(cpu_t cpu) MUST_CHECK;
extern cpumask_t cpus_parked;
static ALWAYS_INLINE bool cpu_is_parked(cpu_t cpu)
{
    return cpumask_test_relaxed(&cpus_parked, cpu);
}

/* ---- holding descriptors ---- */

/* struct thread.refs: how many hold the descriptor (its own existence is one until its last switch), and whether the thread is on
 * a wake list, which holds it too. Whoever makes it 0 frees it. */
#define THREAD_WAKING (1u << 31)
void thread_free(struct thread *t);

static ALWAYS_INLINE void thread_put(struct thread *t)
{
    u32 before = atomic_fetch_sub(&t->refs, 1);
    DEBUG_ASSERT(before & ~THREAD_WAKING, "a descriptor was given back more often than it was taken");
    if (unlikely(before == 1))
        thread_free(t);
}

static ALWAYS_INLINE struct thread *thread_get(thread_handle_t h)
{
    u32 index = h & 0xffff;
    if (unlikely(index >= THREAD_MAX))
        return NULL;
    struct thread *t = thread_at(index);
    u32 refs = atomic_load_relaxed(&t->refs);
    do {
        if (unlikely(!(refs & ~THREAD_WAKING)))
            return NULL;
        /* R1, the other side (kernel/thread_table.c:thread_alloc): the handle is read after this. */
    } while (unlikely(!atomic_cmpxchg(&t->refs, &refs, refs + 1)));
    if (likely(atomic_load_relaxed(&t->handle) == h))
        return t;
    thread_put(t);
    return NULL;
}

/* One more, by who knows that it is held already. */
static ALWAYS_INLINE void thread_hold(struct thread *t)
{
    atomic_fetch_add(&t->refs, 1);
}
