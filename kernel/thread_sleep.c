/* A pairing heap (Fredman, Sedgewick, Sleator, Tarjan 1986): each thread has a first child, whose siblings follow by sleep_next;
 * sleep_prev is the sibling before it, or the parent of a first child. */
#include "kernel/thread_sleep.h"

/* Two heaps become one: the later root becomes the first child of the other. Either may be NULL. */
static struct thread *meld(struct thread *a, struct thread *b)
{
    if (!a || !b)
        return a ? a : b;
    if (b->deadline < a->deadline) {
        struct thread *earlier = b;
        b = a;
        a = earlier;
    }
    b->sleep_prev = a;
    b->sleep_next = a->sleep_child;
    if (b->sleep_next)
        b->sleep_next->sleep_prev = b;
    a->sleep_child = b;
    return a;
}

/* The children that begin with t become one heap: in pairs from the left, then from the right; without recursion, so that the
 * stack does not grow with the number of sleepers. */
static struct thread *meld_siblings(struct thread *t)
{
    struct thread *pairs = NULL, *heap = NULL;
    while (t) {
        struct thread *a = t, *b = a->sleep_next;
        t = b ? b->sleep_next : NULL;
        a->sleep_prev = a->sleep_next = NULL;
        if (b)
            b->sleep_prev = b->sleep_next = NULL;
        a = meld(a, b);
        a->sleep_next = pairs; /* the last pair first */
        pairs = a;
    }
    while (pairs) {
        struct thread *next = pairs->sleep_next;
        pairs->sleep_next = NULL;
        heap = meld(heap, pairs);
        pairs = next;
    }
    return heap;
}

void thread_sleepers_add(struct thread_sleepers *s, struct thread *t)
{
    t->sleep_child = t->sleep_next = t->sleep_prev = NULL;
    s->first = meld(s->first, t);
}

void thread_sleepers_remove(struct thread_sleepers *s, struct thread *t)
{
    struct thread *below = meld_siblings(t->sleep_child);
    if (s->first == t) {
        s->first = below;
    } else {
        if (t->sleep_prev->sleep_child == t)
            t->sleep_prev->sleep_child = t->sleep_next;
        else
            t->sleep_prev->sleep_next = t->sleep_next;
        if (t->sleep_next)
            t->sleep_next->sleep_prev = t->sleep_prev;
        s->first = meld(s->first, below);
    }
    t->sleep_child = t->sleep_next = t->sleep_prev = NULL;
}
