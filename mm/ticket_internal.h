/* Between mm/ticket.c, the way of most policies, and mm/ticket_special.c, that of those which wait in IPI context, defer, or
 * are broken on purpose. */
#pragma once

#include "lib/patch.h"
#include "mm/space.h"

#define STAMP(ticket, phase)                                                                                 \
    do {                                                                                                     \
        if (patch_enabled(PATCH_TIMES))                                                                      \
            (ticket)->times.t[phase] = rdtsc_ordered();                                                      \
    } while (0)

/* How long a change of another CPU may stay in flight before we say that the machine is broken. Longer than the message
 * watchdog's own limit, which names the culprit. */
#define TICKET_LIMIT_MS 60000u

/* ---- mm/ticket.c ---- */

/* Has c published the level, or has it left the space, and so cannot use an old entry before space_load? */
bool ticket_cpu_reached(const struct space *s, cpu_t c, tlb_gen_t gen, enum tlb_level level);
/* Until c has; tells it by its flush-everything word if it does not by itself. THREAD. */
void ticket_wait_watched(const struct space *s, cpu_t c, tlb_gen_t gen, enum tlb_level level);
/* Until every CPU of t->must has. THREAD. */
void ticket_wait_published(const struct tlb_ticket *t, enum tlb_level until);
/* The end of an operation that has waited: releases, gives the turn back, preemption on again. */
void ticket_finish(struct tlb_ticket *t);
void ticket_free_parked(struct tlb_ticket *t);

/* The space's lock is held. */
static ALWAYS_INLINE void ticket_link(struct tlb_ticket *t)
{
    struct space *s = t->request.space;
    t->in_flight_next = s->in_flight;
    s->in_flight = t;
}
static ALWAYS_INLINE void ticket_unlink(const struct tlb_ticket *t)
{
    struct tlb_ticket **at = &t->request.space->in_flight;
    while (*at != t)
        at = &(*at)->in_flight_next;
    *at = t->in_flight_next;
}

/* ---- mm/ticket_special.c ---- */

/* Takes the turn if the policy asked for needs it. THREAD, no lock held. */
void ticket_take_turn(struct tlb_ticket *t);
void ticket_give_turn(struct tlb_ticket *t); /* if it has it */
/* Nobody has to forget anything: undoes what the policy has prepared. Lock held. */
void ticket_cancel(struct tlb_ticket *t);
/* The rest of ticket_close, from the linking on: drops the lock. */
void ticket_close_special(struct tlb_ticket *t);
/* An operation meets a range that is taken: releases what can be, and after some turns tells those that are waited for, and waits for
 * them (deferred_pull). THREAD, no lock held but the turn. */
void ticket_hurry_others(struct space *s, u32 turns);
/* Tells c to forget everything, now. */
void ticket_pull(cpu_t c);
