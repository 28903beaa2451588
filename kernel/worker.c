#include "kernel/worker.h"

#include "kernel/thread.h"
#include "lib/atomic.h"
#include "lib/context.h"
#include "lib/log.h"
#include "lib/wait.h"
#include "smp/cpus.h"

enum worker_state {
    WORKER_IDLE,    /* whoever changes this to FILLING owns fn and arg */
    WORKER_FILLING, /* a starter is writing fn and arg */
    WORKER_READY,   /* the worker's from here until it is IDLE again */
};

/* A line each: starting work on one CPU must not disturb what the others measure. */
static struct worker {
    u32 state;
    void (*fn)(void *arg);
    void *arg;
    struct thread *thread;
} CACHE_ALIGNED workers[MAX_CPUS];

static bool has_work(struct worker *w)
{
    /* orders: reading fn and arg after READY; pairs with: kernel/worker.c:worker_start (release);
     * else: the worker could call the function of its previous work. */
    return atomic_load_acquire(&w->state) == WORKER_READY;
}

static void worker_main(void *arg)
{
    struct worker *w = arg;
    for (;;) {
        if (!has_work(w)) {
            thread_block();
            continue;
        }
        w->fn(w->arg);
        /* orders: all the work before IDLE; pairs with: kernel/worker.c:worker_busy (acquire);
         * else: whoever waited could miss what the work has written. */
        atomic_store_release(&w->state, WORKER_IDLE);
    }
}

void worker_init(void)
{
    CPUMASK_FOREACH (c, &cpus_online) {
        if (c == 0)
            continue;
        char name[THREAD_NAME_MAX];
        format(name, sizeof(name), "worker %u", c);
        struct worker *w = &workers[c];
        err_t e = thread_create(c, name, worker_main, w, &w->thread);
        if (e != ERR_OK)
            panic("CPU %u gets no worker: %s", c, err_name(e));
        w->thread->pinned = w->thread->service = true;
        thread_start(w->thread);
    }
}

err_t worker_start(cpu_t cpu, void (*fn)(void *arg), void *arg)
{
    if (cpu == 0 || fn == NULL)
        return ERR_INVAL;
    if (!cpu_is_online(cpu) || cpu_is_parked(cpu))
        return ERR_ABSENT;
    struct worker *w = &workers[cpu];
    u32 idle = WORKER_IDLE;
    if (!atomic_cmpxchg(&w->state, &idle, WORKER_FILLING))
        return ERR_EXIST;
    w->fn = fn;
    w->arg = arg;
    /* orders: fn and arg, and all that the starter has prepared, before READY; pairs with: kernel/worker.c:has_work
     * (acquire); else: the worker could call the function of its previous work. */
    atomic_store_release(&w->state, WORKER_READY);
    thread_wake(w->thread);
    return ERR_OK;
}

bool worker_busy(cpu_t cpu)
{
    /* orders: the caller's reading of results after IDLE; pairs with: kernel/worker.c:worker_main (release);
     * else: it could read results that are not written yet. */
    return atomic_load_acquire(&workers[cpu].state) != WORKER_IDLE;
}

err_t worker_wait(cpu_t cpu, u64 limit_ms)
{
    ASSERT_MAY_WAIT();
    if (!cpu_is_online(cpu))
        return ERR_ABSENT;
    struct wait w = WAIT("a worker to finish", wait_ms(limit_ms));
    while (worker_busy(cpu))
        if (!wait_spin(&w))
            return worker_busy(cpu) ? ERR_TIMEOUT : ERR_OK;
    return ERR_OK;
}
