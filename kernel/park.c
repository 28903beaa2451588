/* Taking CPUs out of use, and back.
 *
 * From the moment that its bit is set, whatever becomes ready on a parked CPU is sent elsewhere (kernel/thread_switch.c:place_of), so
 * parking is to set the bit and to have the CPU look at what it has: its queue at once, its running thread when that returns to ring 3.
 * Threads that are blocked stay where they are, and leave when they are woken. Interrupts, messages and the kernel's own shootdowns go on. */
#include "kernel/park.h"

#include "kernel/thread_internal.h"
#include "lib/context.h"
#include "lib/wait.h"
#include "mm/space.h"
#include "smp/message.h"

/* Longer than a slice and anything that a system call waits for in the kernel; only a kernel thread that works on is slower. */
#define PARK_LIMIT_MS 500u

cpumask_t cpus_parked;

void park_idle(void)
{
    if (unlikely(cpu_is_parked(cpu_self())) && space_loaded())
        space_load(NULL);
}

cpu_t thread_any_cpu(void)
{
    static u32 turn;
    for (u32 i = 0; i < cpu_count(); i++) {
        cpu_t c = atomic_fetch_add(&turn, 1) % cpu_count();
        if (cpu_is_online(c) && !cpu_is_parked(c))
            return c;
    }
    return 0; /* never parked */
}

/* What a CPU has found when it was asked last: that it has nothing left. Its own word and not the asker's, who may have given up on a
 * late CPU and gone. Whoever waits for the answer to his own message sees that one or a later one. */
static PERCPU(bool, is_empty);

/* Sends away what is ready. Is that all there was? */
static void leave(struct msg_in *in)
{
    (void)in;
    thread_clear_queue();
    thread_request_resched();
    atomic_store_relaxed(this_cpu_ptr(is_empty), thread_cpu_is_idle() && !space_loaded());
}
MSG_KIND(cpu_leave, leave);

static bool has_pinned(cpu_t cpu)
{
    bool pinned = false;
    for (u32 i = 0; i < THREAD_MAX && !pinned; i++) {
        struct thread *t = thread_get(atomic_load_relaxed(&thread_at(i)->handle));
        if (!t)
            continue;
        pinned = atomic_load_relaxed(&t->cpu) == cpu && atomic_load_relaxed(&t->pinned) && !t->service;
        thread_put(t);
    }
    return pinned;
}

static err_t empty(cpu_t cpu)
{
    struct wait w = WAIT("the threads of a CPU to leave it", wait_ms(PARK_LIMIT_MS));
    for (;;) {
        err_t e = msg_call(cpu, &(struct msg){.kind = &cpu_leave, .flags = MSG_SYNC});
        if (e != ERR_OK || atomic_load_relaxed(&per_cpu(is_empty, cpu)))
            return e;
        if (!wait_spin(&w))
            return ERR_TIMEOUT;
        thread_yield();
    }
}

err_t cpu_park(cpu_t cpu)
{
    ASSERT_MAY_WAIT();
    if (cpu == 0 || cpu == cpu_self())
        return ERR_INVAL;
    if (cpu >= cpu_count() || !cpu_is_online(cpu))
        return ERR_ABSENT;
    if (cpu_is_parked(cpu))
        return ERR_OK;
    /* First of all, so that no pinned thread can be made there behind our back; who was faster is seen. */
    cpumask_set_atomic(&cpus_parked, cpu);
    err_t e = has_pinned(cpu) ? ERR_INVAL : empty(cpu);
    if (e != ERR_OK)
        cpumask_unset_atomic(&cpus_parked, cpu);
    return e;
}

err_t cpu_unpark(cpu_t cpu)
{
    if (cpu >= cpu_count() || !cpu_is_online(cpu))
        return ERR_ABSENT;
    cpumask_unset_atomic(&cpus_parked, cpu);
    return ERR_OK;
}
