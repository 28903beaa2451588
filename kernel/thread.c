/* How threads begin and end, sleep, and are sent to another CPU. */
#include "kernel/fpu.h"
#include "kernel/gdt.h"
#include "kernel/idle.h"
#include "kernel/mailbox.h"
#include "kernel/process.h"
#include "kernel/thread_internal.h"
#include "kernel/timer.h"
#include "kernel/trap.h"
#include "kernel/worker.h"
#include "lib/assert.h"
#include "lib/context.h"
#include "lib/counter.h"
#include "lib/image.h"
#include "lib/log.h"
#include "lib/string.h"
#include "lib/wait.h"
#include "mm/frame.h"
#include "mm/layout.h"
#include "smp/cpus.h"

COUNTER(threads_created, "threads that were created");

#define RFLAGS_FIXED 0x2ull /* bit 1 is always set */

/* What thread_switch pops: R15 first, then where it returns to. */
struct switch_frame {
    u64 r15, r14, r13, r12, rbx, rbp;
    const char *rip;
};

/* A thread that returns to `begin` at its first switch, `above` bytes being in use at the top of its stack. RBP = 0 ends its
 * backtraces. */
static void prepare_stack(struct thread *t, const char *begin, u64 above)
{
    struct switch_frame *s = (struct switch_frame *)(t->stack_top - above) - 1;
    *s = (struct switch_frame){.rip = begin};
    t->rsp = (u64)s;
}

static err_t create(cpu_t cpu, const char *name, struct thread **out)
{
    ASSERT_MAY_WAIT();
    if (cpu >= cpu_count() || !cpu_is_online(cpu) || cpu_is_parked(cpu))
        return ERR_ABSENT;
    err_t e = thread_alloc(name, true, out);
    if (e == ERR_OK) {
        atomic_store_relaxed(&(*out)->cpu, cpu);
        counter_inc(threads_created);
    }
    return e;
}

err_t thread_create(cpu_t cpu, const char *name, void (*fn)(void *arg), void *arg, struct thread **out)
{
    struct thread *t;
    err_t e = create(cpu, name, &t);
    if (e != ERR_OK)
        return e;
    t->fn = fn;
    t->arg = arg;
    prepare_stack(t, thread_start_kernel, 2 * sizeof(u64));
    *out = t;
    return ERR_OK;
}

/* Above the mailbox, at the end. */
static void *fpu_area(void *user_page)
{
    return (u8 *)user_page + PAGE_SIZE - ALIGN_UP(fpu_bytes(), CACHE_LINE_SIZE);
}

err_t thread_create_user(cpu_t cpu, struct process *p, vaddr_t entry, vaddr_t stack, u64 arg,
                         struct thread **out)
{
    struct thread *t;
    paddr_t page;
    err_t e = create(cpu, process_name(p), &t);
    if (e != ERR_OK)
        return e;
    e = frame_alloc_zeroed(FRAME_OWNER_KERNEL, &page);
    if (e != ERR_OK) {
        thread_put(t);
        return e;
    }
    t->user_page = phys_to_virt(page);
    t->fpu = fpu_area(t->user_page);
    fpu_init_area(t->fpu);
    _Static_assert(MAILBOX_BYTES + FPU_BYTES_MAX <= PAGE_SIZE, "one frame has room for both");
    process_ref(p);
    t->process = p;
    t->space = process_space(p);
    struct trap_frame *f = (struct trap_frame *)t->stack_top - 1;
    *f = (struct trap_frame){.rip = entry,
                             .cs = SEL_USER_CODE,
                             .rflags = RFLAGS_IF | RFLAGS_FIXED,
                             .rsp = stack,
                             .ss = SEL_USER_DATA,
                             .rdi = arg};
    prepare_stack(t, thread_start_user, sizeof(*f));
    mailbox_init(t, t->user_page); /* last of all: a handle can be guessed */
    *out = t;
    return ERR_OK;
}

void thread_begin(struct thread *prev)
{
    thread_switched(prev);
    struct thread *self = thread_self();
    irq_enable();
    self->fn(self->arg);
    thread_exit();
}

void thread_begin_user(struct thread *prev)
{
    thread_switched(prev);
}

void thread_start(struct thread *t)
{
    thread_hold(t); /* it may run and end before we have rung */
    /* As in kernel/thread_switch.c:send, for a thread that is nobody's yet. The hold orders it: a LOCKed add. */
    atomic_store_relaxed(&t->arriving, true);
    thread_wake(t);
    thread_put(t);
}

NORETURN void thread_exit(void)
{
    ASSERT(irq_enabled() && !context_is_irq() && !this_cpu(percpu_head.preempt_depth),
           "a thread ends with interrupts on, and preemption not off");
    if (thread_self()->mailbox)
        mailbox_close(thread_self());
    irq_disable();
    thread_self()->state = THREAD_DEAD;
    thread_reschedule();
    panic("a thread that had ended ran again");
}

void thread_kill(struct thread *t)
{
    atomic_store_relaxed(&t->killed, true);
    thread_wake(t);
}

bool thread_note_killed(void)
{
    bool was_on = irq_save(); /* the thread stays on this CPU; on another it would be noted by switch_to */
    this_cpu(percpu_head.user_work) |= USER_WORK_KILLED;
    irq_restore(was_on);
    return true;
}

/* ---- the first threads ---- */

static struct thread *adopt(const char *name, u64 stack_top)
{
    struct thread *t;
    if (thread_alloc(name, false, &t) != ERR_OK)
        panic("no thread descriptor for CPU %u", cpu_self());
    t->stack_top = stack_top;
    t->service = t->pinned = true;
    t->cpu = cpu_self();
    return t;
}

static void idle_main(void *arg)
{
    (void)arg;
    irq_disable();
    idle_loop();
}

void thread_init(void)
{
    struct thread *idle;
    thread_table_init();
    fpu_init();
    log_info("threads: %s of registers of ring 3", fpu_name());
    struct thread *boot = adopt("boot", (u64)boot_stack_top);
    irq_disable();
    thread_adopt(boot);
    irq_enable();
    if (thread_create(0, "idle 0", idle_main, NULL, &idle) != ERR_OK)
        panic("no memory for CPU 0's idle thread");
    idle->service = idle->pinned = true;
    idle->state = THREAD_READY; /* in no queue: it runs when nobody else does */
    this_cpu(thread_cpu.idle) = idle;
    thread_reaper_start();
}

NORETURN void thread_init_cpu(void)
{
    char name[THREAD_NAME_MAX];
    format(name, sizeof(name), "idle %u", cpu_self());
    struct thread *idle =
        adopt(name, 0); /* its stack is the one that the CPU started on; ring 3 never enters on it */
    timer_init_cpu();
    fpu_init_cpu();
    this_cpu(thread_cpu.idle) = idle;
    thread_adopt(idle);
    idle_loop();
}

void thread_sleep_us(u64 us)
{
    u64 now = rdtsc(), ticks = tsc_from_us(us), deadline = now + ticks < now ? ~0ull : now + ticks;
    while (!thread_is_killed(thread_self()))
        if (thread_block_until(deadline) == ERR_TIMEOUT)
            return;
}

err_t thread_move(struct thread *t, cpu_t to)
{
    if (to >= cpu_count() || !cpu_is_online(to) || cpu_is_parked(to))
        return ERR_ABSENT;
    atomic_store_relaxed(&t->cpu_wanted, to);
    if (t == thread_self())
        thread_yield();
    else
        thread_wake(t);
    return ERR_OK;
}
