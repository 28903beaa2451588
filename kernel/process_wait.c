/* Waiting for threads and processes to end. */
#include "kernel/process_internal.h"
#include "lib/atomic.h"
#include "lib/context.h"
#include "lib/wait.h"

void process_wake(struct process *p)
{
    for (struct waiter *w = p->waiters; w; w = w->next)
        thread_wake(w->thread);
}

static void unlink(struct process *p, const struct waiter *w)
{
    struct waiter **at = &p->waiters;
    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
}

/* Until done(p, arg), which is called with the lock held, or the deadline (TSC; 0: none). ERR_TIMEOUT also if the caller is being killed,
 * who will not see it: it ends on its way back to ring 3. The lock is held before and after. */
static err_t wait_until(struct process *p, bool (*done)(struct process *p, void *arg), void *arg,
                        u64 deadline)
{
    struct thread *self = thread_self();
    struct waiter w = {.thread = self, .next = p->waiters};
    // cppcheck-suppress autoVariables; unlinked before we return
    p->waiters = &w; /* before the look: a change after it wakes us, and thread_block then returns at once */
    err_t e = ERR_OK;
    while (!done(p, arg) && e == ERR_OK) {
        spin_unlock(&p->lock);
        if (thread_is_killed(self))
            e = ERR_TIMEOUT;
        else if (deadline)
            e = thread_block_until(deadline);
        else
            thread_block();
        spin_lock(&p->lock);
    }
    unlink(p, &w);
    return done(p, arg) ? ERR_OK : e;
}

static bool is_gone(struct process *p, void *arg)
{
    (void)arg;
    return p->live == 0 && atomic_load_relaxed(&p->refs) == 1;
}

err_t process_wait(struct process *p, u64 limit_ms, s64 *status)
{
    ASSERT_MAY_WAIT();
    u64 deadline = limit_ms ? rdtsc() + wait_ms(limit_ms) : 0;
    spin_lock(&p->lock);
    err_t e = wait_until(p, is_gone, NULL, deadline);
    if (e == ERR_OK && status)
        *status = p->status;
    spin_unlock(&p->lock);
    return e;
}

static bool is_done(struct process *p, void *arg)
{
    (void)p;
    return ((struct thread_record *)arg)->state == RECORD_DONE;
}

err_t process_thread_join(thread_handle_t h, s64 *status)
{
    ASSERT_MAY_WAIT();
    struct process *p = thread_self()->process;
    if (h == thread_self()->handle)
        return ERR_INVAL;
    spin_lock(&p->lock);
    struct thread_record *r = process_record(p, h);
    err_t e = r ? ERR_OK : ERR_ABSENT;
    if (r) {
        r->joiners++; /* keeps the record */
        e = wait_until(p, is_done, r, 0);
        r->joiners--;
        /* Of several that waited, the first to come here is told. */
        if (e == ERR_OK && r->handle != h)
            e = ERR_ABSENT;
        if (e == ERR_OK) {
            *status = r->status;
            r->handle = 0;
            if (!r->joiners)
                r->state = RECORD_FREE;
        }
    }
    spin_unlock(&p->lock);
    return e;
}
