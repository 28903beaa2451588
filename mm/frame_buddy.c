/* The buddy lists: free blocks of 4 KiB << order, each aligned to its size. Two free halves of a block are always
 * one block.
 *
 * Only the first frame of a block says FRAME_FREE; all others of the block say FRAME_TAIL, so splitting and merging
 * touch two descriptors per level. A list is linked both ways through next and prev, because a merge takes its
 * buddy from the middle. The newest blocks are used first: their descriptors are likeliest to be cached. */
#include "lib/assert.h"
#include "lib/spinlock.h"
#include "mm/frame_internal.h"

static struct {
    spinlock_t lock;
    u32 head[FRAME_ORDERS];
    u64 total, free; /* frames */
} buddy = {.head = {[0 ... FRAME_ORDERS - 1] = FRAME_LIST_END}};

static void set_state(struct frame *f, enum frame_state s)
{
    atomic_store_relaxed(&f->state, (u8)s);
}
static enum frame_state get_state(struct frame *f)
{
    return atomic_load_relaxed(&f->state);
}

static void list_add(u32 n, u32 order)
{
    struct frame *f = frame_at(n);
    f->order = (u8)order;
    f->prev = FRAME_LIST_END;
    f->next = buddy.head[order];
    if (f->next != FRAME_LIST_END)
        frame_at(f->next)->prev = n;
    buddy.head[order] = n;
    set_state(f, FRAME_FREE);
}

/* It is in no list afterwards, and inside a block or about to be taken: mappings is 0 again where prev was. */
static void list_remove(u32 n)
{
    struct frame *f = frame_at(n);
    if (f->prev != FRAME_LIST_END)
        frame_at(f->prev)->next = f->next;
    else
        buddy.head[f->order] = f->next;
    if (f->next != FRAME_LIST_END)
        frame_at(f->next)->prev = f->prev;
    f->mappings = 0;
    set_state(f, FRAME_TAIL);
}

/* Takes block n, which is in a list, and gives back what is above the wanted order: always the upper halves. */
static u32 carve(u32 n, u32 order, enum frame_state as)
{
    struct frame *f = frame_at(n);
    u32 have = f->order;
    list_remove(n);
    while (have > order) {
        have--;
        list_add(n + (1u << have), have);
    }
    f->order = (u8)order;
    set_state(f, as);
    buddy.free -= 1u << order;
    return n;
}

static u32 take_locked(u32 order, enum frame_state as)
{
    for (u32 o = order; o < FRAME_ORDERS; o++)
        if (buddy.head[o] != FRAME_LIST_END)
            return carve(buddy.head[o], order, as);
    return FRAME_NONE;
}

static void give_locked(u32 n, u32 order)
{
    buddy.free += 1u << order;
    while (order < FRAME_2M) {
        u32 other = n ^ (1u << order);
        struct frame *f = frame_at(other);
        if (get_state(f) != FRAME_FREE || f->order != order)
            break;
        list_remove(other);
        set_state(frame_at(n), FRAME_TAIL);
        n = MIN(n, other);
        order++;
    }
    list_add(n, order);
}

u32 frame_buddy_take(u32 order, enum frame_state as)
{
    bool irq = spin_lock_irqsave(&buddy.lock);
    u32 n = take_locked(order, as);
    spin_unlock_irqrestore(&buddy.lock, irq);
    return n;
}

u32 frame_buddy_take_below(u32 end, u32 order, enum frame_state as)
{
    bool irq = spin_lock_irqsave(&buddy.lock);
    u32 n = FRAME_NONE;
    for (u32 o = order; n == FRAME_NONE && o < FRAME_ORDERS; o++)
        for (u32 at = buddy.head[o]; n == FRAME_NONE && at != FRAME_LIST_END; at = frame_at(at)->next)
            if ((u64)at + (1u << order) <= end)
                n = carve(at, order, as);
    spin_unlock_irqrestore(&buddy.lock, irq);
    return n;
}

u32 frame_buddy_take_singles(u32 *out, u32 want)
{
    bool irq = spin_lock_irqsave(&buddy.lock);
    u32 got = 0;
    for (u32 n; got < want && (n = take_locked(FRAME_4K, FRAME_CACHED)) != FRAME_NONE; got++)
        out[got] = n;
    spin_unlock_irqrestore(&buddy.lock, irq);
    return got;
}

void frame_buddy_give(u32 n, u32 order)
{
    bool irq = spin_lock_irqsave(&buddy.lock);
    give_locked(n, order);
    spin_unlock_irqrestore(&buddy.lock, irq);
}

void frame_buddy_give_singles(const u32 *frames, u32 count)
{
    bool irq = spin_lock_irqsave(&buddy.lock);
    for (u32 i = 0; i < count; i++)
        give_locked(frames[i], FRAME_4K);
    spin_unlock_irqrestore(&buddy.lock, irq);
}

void frame_buddy_add(u32 n, u32 end)
{
    for (u32 i = n; i < end; i++)
        set_state(frame_at(i), FRAME_TAIL);
    bool irq = spin_lock_irqsave(&buddy.lock);
    buddy.total += end - n;
    while (n < end) {
        u32 order = n ? MIN((u32)__builtin_ctz(n), (u32)FRAME_2M) : FRAME_2M;
        while (n + (1u << order) > end)
            order--;
        give_locked(n, order);
        n += 1u << order;
    }
    spin_unlock_irqrestore(&buddy.lock, irq);
}

void frame_buddy_count(u64 *total, u64 *free)
{
    bool irq = spin_lock_irqsave(&buddy.lock);
    *total = buddy.total;
    *free = buddy.free;
    spin_unlock_irqrestore(&buddy.lock, irq);
}
