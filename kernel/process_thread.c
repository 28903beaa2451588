/* The threads of a process: how they begin, how they end, and what is remembered of them.
 *
 * A record is reserved before the thread exists, so that the limit is never exceeded, and keeps the status after its end. It is
 * used again when a thread joins it, or when there is no free one: then the one that ended first goes. */
#include "kernel/process_internal.h"
#include "lib/atomic.h"
#include "lib/log.h"

struct thread_record *process_record(struct process *p, thread_handle_t h)
{
    for (struct thread_record *r = p->record; r < p->record + PROCESS_THREADS_MAX; r++)
        if (r->state != RECORD_FREE && r->handle == h && h)
            return r;
    return NULL;
}

void process_set_status(struct process *p, enum ending how, s64 status)
{
    if (how <= p->ending)
        return;
    p->ending = (u8)how;
    p->status = status;
}

/* A free record, or the one that ended first of those that nobody waits for. */
static struct thread_record *find_room(struct process *p)
{
    struct thread_record *oldest = NULL;
    for (struct thread_record *r = p->record; r < p->record + PROCESS_THREADS_MAX; r++) {
        if (r->state == RECORD_FREE)
            return r;
        if (r->state == RECORD_DONE && !r->joiners && (!oldest || r->ended < oldest->ended))
            oldest = r;
    }
    return oldest;
}

static err_t reserve(struct process *p, u32 stack, struct thread_record **out)
{
    spin_lock(&p->lock);
    struct thread_record *r = p->killed ? NULL : find_room(p);
    err_t e = p->killed ? ERR_ABSENT : ERR_FULL;
    if (r) {
        *r = (struct thread_record){.state = RECORD_LIVE, .stack = (u8)stack};
        p->live++;
        *out = r;
        e = ERR_OK;
    }
    spin_unlock(&p->lock);
    return e;
}

/* A record may keep its thread's status for as long as it takes to use all generations of a handle. Then the handle is the new thread's.
 * p->lock held. */
static void forget_namesake(struct process *p, thread_handle_t h)
{
    struct thread_record *r = process_record(p, h);
    if (!r)
        return;
    r->handle = 0; /* who waits for it is told that it is not there */
    if (!r->joiners)
        r->state = RECORD_FREE;
}

static void give_back(struct process *p, struct thread_record *r)
{
    spin_lock(&p->lock);
    r->state = RECORD_FREE;
    p->live--;
    process_wake(p);
    spin_unlock(&p->lock);
}

/* The next CPU in turn that takes threads. */
static cpu_t any_cpu(void)
{
    static u32 turn;
    for (u32 i = 0; i < cpu_count(); i++) {
        cpu_t c = atomic_fetch_add(&turn, 1) % cpu_count();
        if (cpu_is_online(c) && !cpu_is_parked(c))
            return c;
    }
    return 0; /* never parked */
}

static err_t start(struct process *p, u32 stack_slot, cpu_t cpu, vaddr_t entry, vaddr_t stack, u64 arg,
                   thread_handle_t *out)
{
    struct thread_record *r;
    struct thread *t;
    err_t e = reserve(p, stack_slot, &r);
    if (e != ERR_OK)
        return e;
    e = thread_create_user(cpu == CPU_NONE ? any_cpu() : cpu, p, entry, stack, arg, &t);
    if (e != ERR_OK) {
        give_back(p, r);
        return e;
    }
    t->pinned = cpu != CPU_NONE;
    thread_handle_t h = t->handle;
    struct thread *held = thread_get(h); /* it may end as soon as it is started */

    /* process_kill either finds the handle, or has set `killed` before we look. */
    spin_lock(&p->lock);
    forget_namesake(p, h);
    r->handle = h;
    bool killed = p->killed;
    spin_unlock(&p->lock);
    *out = h;
    thread_start(t);
    if (killed && held)
        thread_kill(held);
    if (held)
        thread_put(held);
    return ERR_OK;
}

err_t process_thread_start(struct process *p, cpu_t cpu, vaddr_t entry, vaddr_t stack, u64 arg,
                           thread_handle_t *out)
{
    return start(p, 0, cpu, entry, stack, arg, out);
}

err_t process_start(struct process *p, cpu_t cpu, u64 arg, thread_handle_t *out)
{
    u32 slot;
    err_t e = process_map_stack(p, &slot);
    if (e != ERR_OK)
        return e;
    e = start(p, slot + 1, cpu, p->program->image.entry, process_stack_top(slot), arg, out);
    if (e != ERR_OK)
        process_unmap_stack(p, slot);
    return e;
}

/* Kills all threads but the calling one; those that are being created see `killed`. */
static void kill_all(struct process *p)
{
    thread_handle_t live[PROCESS_THREADS_MAX];
    u32 n = 0;
    spin_lock(&p->lock);
    p->killed = true;
    for (struct thread_record *r = p->record; r < p->record + PROCESS_THREADS_MAX; r++)
        if (r->state == RECORD_LIVE && r->handle)
            live[n++] = r->handle;
    spin_unlock(&p->lock);
    while (n-- > 0) {
        struct thread *t = thread_get(live[n]);
        if (!t)
            continue;
        if (t != thread_self())
            thread_kill(t);
        thread_put(t);
    }
}

static void end(struct process *p, s64 status)
{
    spin_lock(&p->lock);
    process_set_status(p, ENDING_PROCESS, status);
    spin_unlock(&p->lock);
    kill_all(p);
}

void process_kill(struct process *p)
{
    end(p, STATUS_KILLED);
}

NORETURN void process_exit(s64 status)
{
    end(thread_self()->process, status);
    process_thread_exit(status);
}

NORETURN void process_thread_exit(s64 status)
{
    struct thread *t = thread_self();
    struct process *p = t->process;

    /* This thread does not return to ring 3. What is put off until then would wait for another's return, and might find the space of this
     * one gone. */
    (void)shootdown_user_open();
    spin_lock(&p->lock);
    struct thread_record *r = process_record(p, t->handle);
    ASSERT(r != NULL && r->state == RECORD_LIVE, "a running thread has a record");
    u32 stack = r->stack;
    bool killed = p->killed;
    spin_unlock(&p->lock);
    /* With the rest of the process soon, but a process may start and end many threads. */
    if (stack && !killed)
        process_unmap_stack(p, stack - 1);

    spin_lock(&p->lock);
    r->state = RECORD_DONE;
    r->status = status;
    r->ended = ++p->threads_ended;
    p->live--;
    p->faults += status == STATUS_FAULT;
    process_set_status(p, status == STATUS_FAULT ? ENDING_FAULT : ENDING_THREAD, status);
    process_wake(p);
    spin_unlock(&p->lock);
    thread_exit();
}
