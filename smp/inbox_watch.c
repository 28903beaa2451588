/* An idle CPU that watches its inbox needs no interrupt: who posts to it has stored to its pending word anyway.
 *
 * A sender rings only if the pending word was empty (smp/slot.h:inbox_publish). So the idle CPU sets a bit in it that belongs to no
 * sender. Looking whether it watches and telling it are then one LOCKed instruction on the sender's side, the one that is there
 * already; there is no moment in between in which it could stop watching.
 *
 *   sender                                  idle CPU, interrupts off
 *   LOCK XADD: its bit                      LOCK OR: the mark; not empty before -> not watched, an interrupt is on its way
 *     before the OR -> rings                MONITOR the word
 *     after it, before the AND -> marked,   anything besides the mark? else MWAIT
 *       does not ring                       LOCK AND: the mark goes; anything besides it -> drain, now
 *     after the AND -> rings, or somebody
 *       before it has
 *
 * No wake-up is lost: a store between the OR and MONITOR is seen by the look; one after MONITOR ends the MWAIT, or keeps it from
 * beginning; and the AND returns whatever came in between. The mark is gone before interrupts are on, so no handler, and no
 * thread that it wakes, ever runs under it. */
#include "lib/counter.h"
#include "lib/percpu.h"
#include "smp/message.h"

COUNTER(msg_woken_by_store, "times that an idle CPU was told by the store alone: interrupt commands saved");

/* Above the bits of at most 63 CPUs. With more, some word has no bit to spare. */
#define MARK (1ull << 63)

static u64 *bell(void)
{
    return &this_cpu(msg_self).inbox->pending[MSG_CLASS_FIXED].word[0];
}

bool inbox_watch_is_possible(void)
{
    return msg_cpus && msg_cpus < 64;
}

bool inbox_watch_begin(void)
{
    if (atomic_load_relaxed(bell()))
        return false;
    /* The LOCKed OR. orders: the mark before the looks that follow; pairs with: smp/slot.h:inbox_publish (LOCKed add); else: a sender
     * could see the mark and not ring, and we miss its bit. */
    if (likely(!atomic_fetch_or(bell(), MARK)))
        return true;
    atomic_fetch_and(bell(), ~MARK);
    return false;
}

bool inbox_watch_has_come(void)
{
    return atomic_load_relaxed(bell()) != MARK;
}

bool inbox_watch_end(void)
{
    /* pairs with: smp/slot.h:inbox_publish. What is left in the word is not rung for by anybody: its drain is the caller's. */
    bool come = atomic_fetch_and(bell(), ~MARK) & ~MARK;
    if (come)
        counter_inc(msg_woken_by_store);
    return come;
}

const void *inbox_watch_line(void)
{
    return bell();
}

bool inbox_watch_is_quiet(void)
{
    for (u32 w = 0; w < cpumask_words; w++)
        if (atomic_load_relaxed(bell() + w))
            return false;
    return true;
}
