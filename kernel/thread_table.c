/* Descriptors, handles, kernel stacks: how a thread's memory comes and goes.
 *
 * All descriptors lie in one array that stays, so that anyone can look at one without a lock: a handle names an index and a
 * generation, `refs` is raised unless it is 0, and only then the handle is compared (kernel/thread.h).
 *
 * Stacks have fixed places, an unmapped page below each, and stay mapped when their thread has gone, because to unmap one is a
 * shootdown on every CPU. thread_trim takes those that nobody uses. */
#include "kernel/mailbox.h"
#include "kernel/process.h"
#include "kernel/thread_internal.h"
#include "lib/assert.h"
#include "lib/context.h"
#include "lib/features.h"
#include "lib/spinlock.h"
#include "lib/string.h"
#include "mm/fail.h"
#include "mm/frame.h"
#include "mm/kmap.h"
#include "mm/layout.h"

struct thread *thread_table;

#define STACK_PAGES  (KSTACK_SIZE / PAGE_SIZE)
#define STACK_STRIDE ((STACK_PAGES + 1) * PAGE_SIZE)
static vaddr_t stacks;

/* Guards the list of free descriptors, and the generations. Taken in IPI context too. */
static spinlock_t lock = SPINLOCK_INIT;
static struct thread *free_list; /* by queue_next; the last one freed first, whose stack is warm */
static u32 used, touched;        /* in use; indices below `touched` have been used at least once */

/* Those whose end needs a thread: their process may go with them. By wake_next. */
static struct thread *dead;
static struct thread *reaper;

static vaddr_t stack_of(u32 index)
{
    return stacks + index * STACK_STRIDE + PAGE_SIZE;
}

/* Generations begin at 1 and skip 0, so that no handle is 0. */
static thread_handle_t next_handle(thread_handle_t h, u32 index)
{
    u32 generation = ((h >> 16) + 1) & 0xffff;
    return (generation ? generation : 1) << 16 | index;
}

static struct thread *take_free(void)
{
    bool irq = spin_lock_irqsave(&lock);
    struct thread *t = free_list;
    if (t) {
        free_list = t->queue_next;
    } else if (touched < THREAD_MAX) {
        t = thread_at(touched);
        t->index = (u16)touched++;
        t->handle = next_handle(0, t->index);
    }
    used += t != NULL;
    spin_unlock_irqrestore(&lock, irq);
    return t;
}

static void give_free(struct thread *t)
{
    bool irq = spin_lock_irqsave(&lock);
    atomic_store_relaxed(&t->handle, next_handle(t->handle, t->index));
    t->state = THREAD_FREE;
    t->queue_next = free_list;
    free_list = t;
    used--;
    spin_unlock_irqrestore(&lock, irq);
}

u32 thread_count(void)
{
    return atomic_load_relaxed(&used);
}

err_t thread_alloc(const char *name, bool stack, struct thread **out)
{
    struct thread *t = fail_here("a thread descriptor") ? NULL : take_free();
    if (!t)
        return ERR_FULL;
    if (stack && !t->stack_top) {
        err_t e = space_map_fresh(&kernel_space, stack_of(t->index), STACK_PAGES,
                                  PT_WRITE | (features.pge ? PT_GLOBAL : 0), FRAME_OWNER_STACK);
        if (e != ERR_OK) {
            give_free(t);
            return e;
        }
        t->stack_top = stack_of(t->index) + KSTACK_SIZE;
    }
    /* All but its place, its stack, and what a look-up by a stale handle may be touching now. */
    t->space = NULL;
    t->process = NULL;
    t->fpu = NULL;
    t->fpu_cpu = CPU_NONE;
    t->state = THREAD_NEW;
    t->queued = t->woken = t->expired = false;
    t->runtime_tsc = t->switches = 0;
    t->cpu_wanted = CPU_NONE;
    t->killed = t->pinned = t->service = t->arriving = false;
    t->mailbox = NULL;
    mail_init(&t->mail, t->index);
    t->sleep_child = t->sleep_next = t->sleep_prev = NULL;
    t->fn = NULL;
    t->arg = t->user_page = NULL;
    string_copy(t->name, sizeof(t->name), name);
    /* R1. orders: the descriptor's new contents, its handle among them, before it can be held; pairs with:
     * kernel/thread.h:thread_get (LOCKed); else: who holds it could see what the last thread left. */
    atomic_store_release(&t->refs, 1);
    *out = t;
    return ERR_OK;
}

void thread_free(struct thread *t)
{
    if (!t->process) {
        give_free(t);
        return;
    }
    struct thread *first = atomic_load_relaxed(&dead);
    do
        t->wake_next = first;
    while (!atomic_cmpxchg(&dead, &first, t));
    if (!first)
        thread_wake(reaper);
}

static void bury(struct thread *t)
{
    struct process *p = t->process;
    frame_free(virt_to_phys(t->user_page));
    give_free(t);
    process_unref(p);
}

/* thread_put has to do in any context what only a thread may: free memory, destroy a space. */
static void reap(void *arg)
{
    (void)arg;
    for (;;) {
        for (struct thread *t = atomic_xchg(&dead, NULL), *next; t; t = next) {
            next = t->wake_next;
            bury(t);
        }
        thread_block();
    }
}

void thread_trim(void)
{
    ASSERT_MAY_WAIT();
    /* Nobody can take them meanwhile; who creates a thread takes one that was never used, or none. */
    bool irq = spin_lock_irqsave(&lock);
    struct thread *all = free_list, *last = all;
    free_list = NULL;
    spin_unlock_irqrestore(&lock, irq);
    if (!all)
        return;
    for (struct thread *t = all; t; t = t->queue_next) {
        last = t;
        if (!t->stack_top)
            continue;
        err_t e = space_unmap(&kernel_space, stack_of(t->index), stack_of(t->index) + KSTACK_SIZE);
        ASSERT(e == ERR_OK, "whole pages of the kernel's own range are unmapped");
        t->stack_top = 0;
    }
    irq = spin_lock_irqsave(&lock);
    last->queue_next = free_list;
    free_list = all;
    spin_unlock_irqrestore(&lock, irq);
}

void thread_table_init(void)
{
    thread_table = kmap_pages(THREAD_MAX * sizeof(struct thread) / PAGE_SIZE, FRAME_OWNER_KERNEL);
    stacks = kmap_reserve(THREAD_MAX * STACK_STRIDE / PAGE_SIZE);
    if (!thread_table || !stacks)
        panic("no memory for %u thread descriptors", THREAD_MAX);
    kmap_guard_area(stacks, STACK_STRIDE, THREAD_MAX, "thread");
}

void thread_reaper_start(void)
{
    if (thread_create(0, "reaper", reap, NULL, &reaper) != ERR_OK)
        panic("no memory for the thread that frees the others");
    reaper->service = reaper->pinned = true;
    thread_start(reaper);
}
