/* The order of locks (make DEBUG=1; called by lib/spinlock.h): that no two CPUs can ever wait for each other, shown by runs in which they
 * do not.
 *
 * Each lock belongs to a class: one in the kernel's image is its own; others lie in objects that begin with a page (a space, a process), and
 * the place in the page says of which kind. Whenever a lock is taken under another, that is an edge between their classes, kept with both
 * places in the code. An edge that closes a circle is a panic that names all four places, whether or not this run would have hung. So is a
 * lock taken twice, two of a class at once, a lock that interrupt handlers take and others take with interrupts on, and any lock
 * in an NMI.
 *
 * A lock that was only tried for cannot be waited for: it begins no edge, but those under it count. */
#include "kernel/lock_order.h"

#ifdef VOLLEY_DEBUG

#include "kernel/backtrace.h"
#include "lib/assert.h"
#include "lib/context.h"
#include "lib/image.h"
#include "lib/percpu.h"
#include "lib/spinlock.h"

#define CLASSES  32u
#define HELD_MAX 8u
#define NO_CLASS CLASSES

static struct {
    u64 key;      /* 0: free */
    u32 by_irq;   /* interrupt handlers take it */
    u32 by_waker; /* somebody takes it with interrupts on */
} class[CLASSES];

static u32 after[CLASSES]; /* bit b of after[a]: b was taken while a was held */
static struct {
    u64 outer, inner;
} place[CLASSES][CLASSES]; /* where, the first time */

static PERCPU(
    struct {
        u32 count;
        struct {
            const spinlock_t *lock;
            u64 place;
            u32 class;
            bool waits; /* its holder may wait for other CPUs */
        } lock[HELD_MAX];
    },
    held);

static bool off;

void lock_order_stop(void)
{
    atomic_store_relaxed(&off, true);
}

static u64 key_of(const spinlock_t *l)
{
    u64 address = (u64)l;
    return address >= (u64)kernel_data_start && address < (u64)kernel_bss_end
               ? address
               : (address & (PAGE_SIZE - 1)) | 1;
}

static u32 class_of(const spinlock_t *l)
{
    u64 key = key_of(l);
    for (u32 i = 0; i < CLASSES; i++) {
        u64 there = atomic_load_relaxed(&class[i].key);
        if (there == key || (!there && (atomic_cmpxchg(&class[i].key, &there, key) || there == key)))
            return i;
    }
    return NO_CLASS; /* locks on stacks, in tests: what is left out is not checked */
}

static bool leads_to(u32 from, u32 to)
{
    u32 seen = 1u << from, todo = seen;
    while (todo) {
        u32 i = (u32)__builtin_ctz(todo);
        todo &= todo - 1;
        u32 next = atomic_load_relaxed(&after[i]) & ~seen;
        seen |= next;
        todo |= next;
    }
    return seen & 1u << to;
}

static NORETURN COLD void complain(const char *what, u64 outer, u64 inner, u64 outer_before, u64 inner_before)
{
    char name[4][64];
    const u64 at[4] = {outer, inner, outer_before, inner_before};
    lock_order_stop();
    for (u32 i = 0; i < 4; i++)
        backtrace_name(name[i], sizeof(name[i]), at[i]);
    if (outer_before)
        panic("lock order: %s: %s has one and takes the other in %s; before, they were taken in %s and under "
              "it in %s",
              what, name[0], name[1], name[2], name[3]);
    panic("lock order: %s: in %s, after %s", what, name[1], outer ? name[0] : "nothing");
}

/* The class at the end of a known way from `from` to `to`: its first step. */
static u32 first_step(u32 from, u32 to)
{
    for (u32 next = atomic_load_relaxed(&after[from]); next; next &= next - 1) {
        u32 i = (u32)__builtin_ctz(next);
        if (leads_to(i, to))
            return i;
    }
    return to;
}

static void check_under(u32 outer, u64 outer_place, u32 inner, u64 inner_place)
{
    if (atomic_load_relaxed(&after[outer]) & 1u << inner)
        return;
    if (leads_to(inner, outer)) {
        u32 step = first_step(inner, outer);
        complain("a circle", outer_place, inner_place, place[inner][step].outer, place[inner][step].inner);
    }
    place[outer][inner].outer = outer_place;
    place[outer][inner].inner = inner_place;
    atomic_fetch_or(&after[outer], 1u << inner);
}

static void check_context(u32 c, u64 at, bool irq_on)
{
    if (context_is_nmi())
        complain("a lock in NMI context", 0, at, 0, 0);
    if (context_is_irq())
        atomic_store_relaxed(&class[c].by_irq, 1);
    else if (irq_on)
        atomic_store_relaxed(&class[c].by_waker, 1);
    if (atomic_load_relaxed(&class[c].by_irq) && atomic_load_relaxed(&class[c].by_waker))
        complain("a lock of interrupt handlers is taken with interrupts on", 0, at, 0, 0);
}

void lock_order_take(const spinlock_t *l, bool tried, bool waits)
{
    u64 at = (u64)__builtin_return_address(0);
    if (atomic_load_relaxed(&off))
        return;
    bool irq_on = irq_save();
    u32 c = class_of(l), count = this_cpu(held.count);
    if (c != NO_CLASS && !tried) {
        check_context(c, at, irq_on);
        for (u32 i = 0; i < count; i++) {
            u32 outer = this_cpu(held.lock[i].class);
            u64 outer_place = this_cpu(held.lock[i].place);
            if (this_cpu(held.lock[i].lock) == l)
                complain("a lock is taken by who has it", outer_place, at, 0, 0);
            if (outer == c)
                complain("two locks of a kind at a time", outer_place, at, 0, 0);
            if (outer != NO_CLASS)
                check_under(outer, outer_place, c, at);
        }
    }
    ASSERT(count < HELD_MAX, "nobody holds so many locks");
    this_cpu(held.lock[count].lock) = l;
    this_cpu(held.lock[count].place) = at;
    this_cpu(held.lock[count].class) = c;
    this_cpu(held.lock[count].waits) = waits;
    this_cpu(held.count) = count + 1;
    irq_restore(irq_on);
}

void lock_order_give(const spinlock_t *l)
{
    if (atomic_load_relaxed(&off))
        return;
    bool irq_on = irq_save();
    u32 count = this_cpu(held.count), i = count;
    while (i && this_cpu(held.lock[i - 1].lock) != l)
        i--;
    if (!i)
        complain("a lock is given back by who has not taken it", 0, (u64)__builtin_return_address(0), 0, 0);
    for (; i < count; i++)
        this_cpu(held.lock[i - 1]) = this_cpu(held.lock[i]);
    this_cpu(held.count) = count - 1;
    irq_restore(irq_on);
}

bool lock_order_may_wait(void)
{
    bool irq_on = irq_save(), may = true;
    for (u32 i = 0; i < this_cpu(held.count); i++)
        may = may && this_cpu(held.lock[i].waits);
    irq_restore(irq_on);
    return may || atomic_load_relaxed(&off);
}

#else

void lock_order_stop(void) {}

#endif
