/* Who runs: the run queue of each CPU, the switch, blocking and waking.
 *
 * Everything about a thread is changed by the CPU that it is on, with interrupts off, so nothing here takes a lock. Others push it
 * onto that CPU's wake list and ring; the doorbell's hook, which runs with interrupts off too, does what is to be done: a wake
 * finds the thread either blocked, or not yet, and then it leaves a mark that thread_block sees. Nothing can be lost in between.
 *
 * A thread moves as a wake does: its CPU, when it has left its stack, makes it the other one's and pushes it there. A wake that is
 * still on its way to the old CPU follows it. */
#include "kernel/fpu.h"
#include "kernel/idle.h"
#include "kernel/park.h"
#include "kernel/process.h"
#include "kernel/thread_internal.h"
#include "kernel/timer.h"
#include "kernel/trap.h"
#include "kernel/wake_list.h"
#include "lib/assert.h"
#include "lib/context.h"
#include "lib/counter.h"
#include "lib/wait.h"
#include "mm/space.h"
#include "smp/message.h"

COUNTER(thread_switches, "switches to another thread");
COUNTER(thread_preemptions, "threads of ring 3 that had to let another one run");
COUNTER(thread_moves, "threads sent to another CPU");
COUNTER(thread_wakes_sent, "wakes sent to another CPU");

/* Long beside the few hundred ticks of a switch, short beside what a person notices. */
#define SLICE_US 2000u

PERCPU(struct thread *, thread_current);
PERCPU(struct thread_cpu, thread_cpu);
PERCPU(struct thread_awaited, thread_awaited);

#define ASSERT_MAY_BLOCK()                                                                                   \
    ASSERT(irq_enabled() && !context_is_irq() && !context_is_nmi() && !this_cpu(percpu_head.preempt_depth),  \
           "only a thread with interrupts on, and preemption not off, may let others run")

/* ---- slices ---- */

static void slice_over(void);

static void set_slice_timer(u64 end)
{
    this_cpu(thread_cpu.slicing) = true;
    timer_set(TIMER_SLICE, end, slice_over);
}

/* Somebody else is ready now. One timer runs at a time: if it is set for an earlier slice, it looks again when it fires. */
static void slice_begin(void)
{
    u64 end = rdtsc() + tsc_from_us(SLICE_US);
    this_cpu(thread_cpu.slice_end) = end;
    if (!this_cpu(thread_cpu.slicing))
        set_slice_timer(end);
}

/* IPI context. */
static void slice_over(void)
{
    this_cpu(thread_cpu.slicing) = false;
    if (!this_cpu(thread_cpu.ready.first))
        return;
    u64 end = this_cpu(thread_cpu.slice_end);
    if (rdtsc() < end)
        set_slice_timer(end);
    else
        thread_request_resched();
}

void thread_request_resched(void)
{
    this_cpu(percpu_head.user_work) |= USER_WORK_RESCHED;
}

/* ---- to where a ready thread belongs ---- */

static void push_to(cpu_t cpu, struct thread *t)
{
    counter_inc(thread_wakes_sent);
    if (wake_list_push(&per_cpu(thread_cpu, cpu).wakes, t))
        smp_doorbell(cpu);
}

/* t is this CPU's, ready, and on no queue; its registers are on its stack. */
static void send(struct thread *t, cpu_t to)
{
    counter_inc(thread_moves);
    t->state = THREAD_READY;
    /* Before `cpu` changes: who finds the bit set pushes nothing, and who has set it pushes to us, where it is forwarded. Without
     * it, t could have run there, ended and been freed before our own push. */
    u32 before = atomic_fetch_or(&t->refs, THREAD_WAKING);
    atomic_store_relaxed(&t->arriving, true);
    /* M1. orders: all of the thread, its stack and `arriving` before it belongs to the other CPU; pairs with:
     * kernel/thread_switch.c:take_wakes (acquire); else: that CPU could run it with half its registers. */
    atomic_store_release(&t->cpu, to);
    if (!(before & THREAD_WAKING))
        push_to(to, t);
}

static cpu_t place_of(const struct thread *t)
{
    cpu_t wanted = atomic_load_relaxed(&t->cpu_wanted), self = cpu_self();
    cpu_t to = wanted == CPU_NONE ? self : wanted;
    if (likely(!cpu_is_parked(to)) || t->service)
        return to;
    return thread_any_cpu();
}

/* Apart, as who becomes ready without a wish is not to pay for it. */
static NOINLINE COLD cpu_t take_wish(struct thread *t)
{
    cpu_t wanted = atomic_load_relaxed(&t->cpu_wanted), to = place_of(t);
    /* Served; but what thread_move writes meanwhile is for the next time. */
    if (wanted != CPU_NONE)
        atomic_cmpxchg(&t->cpu_wanted, &wanted, CPU_NONE);
    return to;
}

/* t is this CPU's, and on no queue: it goes where it is wanted. */
static void make_ready(struct thread *t)
{
    bool none_ready = thread_queue_empty(this_cpu_ptr(thread_cpu.ready));
    if (t ==
        thread_self()) { /* blocked, and waiting in idle(): its stack is in use, so it is sent nowhere from here */
        t->state = THREAD_READY;
        this_cpu(thread_awaited.what) = 0;
        if (none_ready)
            return; /* it goes on from there */
    } else {
        cpu_t self = cpu_self();
        if (unlikely(atomic_load_relaxed(&t->cpu_wanted) != CPU_NONE) || unlikely(cpu_is_parked(self))) {
            cpu_t to = take_wish(t);
            if (to != self) {
                send(t, to);
                return;
            }
        }
        t->state = THREAD_READY;
    }
    thread_queue_push(this_cpu_ptr(thread_cpu.ready), t);
    if (!none_ready)
        return;
    if (thread_self()->state == THREAD_RUNNING)
        slice_begin();
    else
        this_cpu(thread_awaited.what) = 0;
}

/* ---- waking ---- */

static void end_sleep(struct thread *t)
{
    struct thread_sleepers *s = this_cpu_ptr(thread_cpu.asleep);
    if (thread_is_asleep(s, t))
        thread_sleepers_remove(s, t);
}

/* t is this CPU's. */
static void wake_here(struct thread *t)
{
    if (unlikely(atomic_load_relaxed(&t->arriving))) {
        atomic_store_relaxed(&t->arriving, false);
        make_ready(t);
        return;
    }
    switch (t->state) {
    case THREAD_BLOCKED:
        end_sleep(t);
        make_ready(t);
        return;
    case THREAD_READY:
        if (t->queued && atomic_load_relaxed(&t->cpu_wanted) != CPU_NONE) {
            thread_queue_remove(this_cpu_ptr(thread_cpu.ready), t);
            make_ready(t);
        }
        break;
    case THREAD_RUNNING:
        if (atomic_load_relaxed(&t->killed))
            this_cpu(percpu_head.user_work) |= USER_WORK_KILLED;
        if (atomic_load_relaxed(&t->cpu_wanted) != CPU_NONE)
            thread_request_resched();
        break;
    }
    t->woken = true;
}

/* The doorbell's hook, also called by who is about to look for work: takes what others have sent. */
static void take_wakes(void)
{
    for (struct thread *t = wake_list_take(this_cpu_ptr(thread_cpu.wakes)), *next; t; t = next) {
        next = atomic_load_relaxed(&t->wake_next);
        /* M1, the other side. orders: all else of the thread after its being ours; pairs with: kernel/thread_switch.c:send
         * (release); else: see there. */
        cpu_t cpu = atomic_load_acquire(&t->cpu);
        if (unlikely(cpu != cpu_self())) {
            push_to(cpu, t);
            continue;
        }
        /* Ours, so it stays as it is until interrupts are on again: alive, or dead already. The bit goes first, because a wake that
         * comes from then on is a push of its own. */
        bool was_dead = t->state == THREAD_DEAD;
        u32 before = atomic_fetch_and(&t->refs, ~THREAD_WAKING);
        if (unlikely(was_dead)) {
            if (before == THREAD_WAKING)
                thread_free(t);
        } else {
            wake_here(t);
        }
    }
}
DOORBELL_HOOK(thread_wakes, take_wakes);

void thread_wake(struct thread *t)
{
    bool was_on = irq_save();
    /* orders: nothing that a wake needs; the acquire is for a thread that has just arrived here, as in take_wakes; pairs with:
     * kernel/thread_switch.c:send (release). */
    cpu_t cpu = atomic_load_acquire(&t->cpu);
    if (cpu == cpu_self()) {
        wake_here(t);
    } else {
        u32 before = atomic_fetch_or(&t->refs, THREAD_WAKING); /* and W1 order the caller's stores */
        DEBUG_ASSERT(before, "who wakes a thread knows that it is not freed");
        if (!(before & THREAD_WAKING))
            push_to(cpu, t);
    }
    irq_restore(was_on);
}

/* ---- the switch ---- */

void thread_switched(struct thread *prev)
{
    switch (prev->state) {
    case THREAD_DEAD:
        thread_put(prev);
        break;
    case THREAD_RUNNING: /* has let others run, and would go on */
        if (prev == this_cpu(thread_cpu.idle))
            prev->state = THREAD_READY;
        else
            make_ready(prev);
        break;
    case THREAD_READY: /* woken in idle(), but others were before it */
        if (prev->queued && place_of(prev) != cpu_self()) {
            thread_queue_remove(this_cpu_ptr(thread_cpu.ready), prev);
            make_ready(prev);
        }
        break;
    }
}

static void switch_to(struct thread *next)
{
    struct thread *prev = thread_self();
    DEBUG_ASSERT(next != prev, "a switch to oneself would put the running thread into the run queue");
    u64 now = rdtsc();
    counter_inc(thread_switches);
    prev->runtime_tsc += now - this_cpu(thread_cpu.switched);
    this_cpu(thread_cpu.switched) = now;
    next->state = THREAD_RUNNING;
    next->switches++;
    this_cpu(thread_current) = next;
    this_cpu(percpu_head.user_work) = (this_cpu(percpu_head.user_work) & (USER_WORK_TLB | USER_WORK_BARRED)) |
                                      (atomic_load_relaxed(&next->killed) ? USER_WORK_KILLED : 0);
    trap_set_kernel_stack(next->stack_top);
    fpu_switch(prev, next);
    if (next->space)
        space_load(next->space);
    else
        space_borrow();
    if (this_cpu(thread_cpu.ready.first))
        slice_begin();
    thread_switched(thread_switch(prev, next));
}

void thread_reschedule(void)
{
    struct thread *next = thread_queue_pop(this_cpu_ptr(thread_cpu.ready));
    switch_to(next ? next : this_cpu(thread_cpu.idle));
}

bool thread_run_ready(void)
{
    if (!this_cpu(thread_cpu.ready.first))
        return false;
    thread_reschedule();
    return true;
}

/* The caller has blocked, and it or somebody else is ready. */
static NOINLINE void run_next(struct thread *self)
{
    if (self->state == THREAD_BLOCKED || self->queued) {
        struct thread *next = thread_queue_pop(this_cpu_ptr(thread_cpu.ready));
        if (next != self) { /* else those before it have been sent elsewhere meanwhile */
            switch_to(next);
            return;
        }
    }
    self->state = THREAD_RUNNING;
    if (unlikely(atomic_load_relaxed(&self->killed)))
        this_cpu(percpu_head.user_work) |= USER_WORK_KILLED;
    if (unlikely(this_cpu(thread_cpu.ready.first)))
        slice_begin();
    if (unlikely(place_of(self) != cpu_self()))
        thread_reschedule();
    else if (self->space)
        space_load(self->space);
}

/* Until the caller, which has blocked, has been woken. If nobody else is ready, the CPU idles in its context, on its stack, so that a
 * thread that is woken soon needs no switch at all. But for the space: who idles only borrows it. */
static ALWAYS_INLINE void wait_for_wake(struct thread *self, u32 what, const thread_handle_t *from)
{
    if (likely(!this_cpu(thread_cpu.ready.first))) {
        self->runtime_tsc += rdtsc() - this_cpu(thread_cpu.switched);
        if (self->space)
            space_borrow();
        this_cpu(thread_awaited) =
            (struct thread_awaited){what, from, (struct trap_frame *)self->stack_top - 1};
        do
            idle_wait();
        while (self->state == THREAD_BLOCKED && !this_cpu(thread_cpu.ready.first));
        this_cpu(thread_awaited.what) = 0;
        this_cpu(thread_cpu.switched) = rdtsc();
        /* By thread_wake_irqoff. What run_next would look at besides finds either a blocked thread, and then it is not RUNNING here, or
         * a running one, and sets user_work. */
        if (likely(self->state == THREAD_RUNNING)) {
            if (likely(self->space))
                space_return(self->space);
            return;
        }
    }
    run_next(self);
}

void thread_clear_queue(void)
{
    struct thread_queue all = this_cpu(thread_cpu.ready);
    this_cpu(thread_cpu.ready) = (struct thread_queue){0};
    for (struct thread *t; (t = thread_queue_pop(&all)) != NULL;)
        make_ready(t);
}

bool thread_cpu_is_idle(void)
{
    const struct thread *t = thread_self();
    return !this_cpu(thread_cpu.ready.first) &&
           (t->state == THREAD_BLOCKED || t == this_cpu(thread_cpu.idle));
}

void thread_adopt(struct thread *t)
{
    t->state = THREAD_RUNNING;
    t->cpu = cpu_self();
    this_cpu(thread_current) = t;
    this_cpu(thread_cpu.switched) = rdtsc();
}

/* ---- what threads call ---- */

/* Interrupts off. Nobody to run, and nothing that takes the caller away: it goes on. */
static void yield_irqoff(void)
{
    struct thread *self = thread_self();
    if (this_cpu(thread_cpu.ready.first) || place_of(self) != cpu_self())
        thread_reschedule();
}

void thread_yield(void)
{
    ASSERT_MAY_BLOCK();
    irq_disable();
    yield_irqoff();
    irq_enable();
}

/* Interrupts off. The wake came before the caller has blocked, so it goes on at once; but if it was thread_move's, elsewhere. */
static void take_early_wake(struct thread *self)
{
    self->woken = false;
    if (unlikely(place_of(self) != cpu_self()))
        thread_reschedule();
}

void thread_block_for(u32 what, const thread_handle_t *from)
{
    ASSERT_MAY_BLOCK();
    struct thread *self = thread_self();
    irq_disable();
    if (self->woken) {
        take_early_wake(self);
    } else {
        self->state = THREAD_BLOCKED;
        wait_for_wake(self, what, from);
    }
    irq_enable();
}

void thread_block(void)
{
    thread_block_for(0, NULL);
}

void thread_resumed(void); /* called by kernel/trap_entry.asm */

/* On the thread's own stack, which is empty but for its frame; interrupts off. */
void thread_resumed(void)
{
    this_cpu(thread_cpu.switched) = rdtsc();
    space_return(thread_self()->space);
}

static void wake_sleepers(void);

static void set_sleep_timer(void)
{
    const struct thread *first = this_cpu(thread_cpu.asleep.first);
    if (first)
        timer_set(TIMER_SLEEP, first->deadline, wake_sleepers);
}

/* IPI context, or the idle loop where there is no timer. */
static void wake_sleepers(void)
{
    struct thread_sleepers *s = this_cpu_ptr(thread_cpu.asleep);
    u64 now = rdtsc();
    while (s->first && s->first->deadline <= now) {
        struct thread *t = s->first;
        thread_sleepers_remove(s, t);
        t->expired = true;
        make_ready(t);
    }
    set_sleep_timer();
}

bool thread_poll_sleepers(void)
{
    if (this_cpu(thread_cpu.asleep.first))
        wake_sleepers();
    return this_cpu(thread_cpu.asleep.first) != NULL;
}

err_t thread_block_until(u64 deadline)
{
    ASSERT_MAY_BLOCK();
    struct thread *self = thread_self();
    irq_disable();
    self->expired = false;
    if (self->woken) {
        take_early_wake(self);
    } else if (rdtsc() >= deadline) {
        self->expired = true;
    } else {
        self->deadline = deadline;
        thread_sleepers_add(this_cpu_ptr(thread_cpu.asleep), self);
        if (this_cpu(thread_cpu.asleep.first) == self)
            set_sleep_timer();
        self->state = THREAD_BLOCKED;
        wait_for_wake(self, 0, NULL);
        end_sleep(self); /* thread_wake_irqoff leaves that to us */
    }
    bool expired = self->expired;
    irq_enable();
    return expired ? ERR_TIMEOUT : ERR_OK;
}

void user_return_work(void)
{
    u32 work;
    while ((work = this_cpu(percpu_head.user_work) & ~USER_WORK_BARRED) != 0) {
        this_cpu(percpu_head.user_work) &= USER_WORK_BARRED;
        if (work & USER_WORK_TLB)
            shootdown_user_return();
        if (work & USER_WORK_KILLED) {
            irq_enable();
            process_thread_exit(STATUS_KILLED);
        }
        if (work & USER_WORK_RESCHED) {
            counter_inc(thread_preemptions);
            yield_irqoff();
        }
    }
    if (!this_cpu(percpu_head.user_work)) /* else a promise is forgotten, and the IRETQ that follows faults */
        shootdown_user_close();
}
