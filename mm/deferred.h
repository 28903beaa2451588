/* Tickets that outlive the operation which opened them: those of policies whose initiator does not wait.
 *
 * Each CPU has a few places. A ticket goes there when its operation returns, still in flight (its range stays taken), still
 * owning its parked memory, and is released by whoever finds that its CPUs have published what it needs: the owner at its
 * next operation, the timer's tick, an operation that meets its range, shootdown_settle. If no place is free, the
 * operation waits like any other, and is counted. */
#pragma once

#include "mm/shootdown.h"

/* A place of this CPU for a ticket that is about to go in flight; its contents are the caller's to copy. NULL: all are taken.
 * THREAD, preemption off. */
struct tlb_ticket *deferred_take(void);
/* From here on anybody may release it. The initiator has flushed itself, and posted. */
void deferred_publish(struct tlb_ticket *t);
/* Releases this CPU's tickets that are ready. THREAD: takes spaces' locks. */
void deferred_sweep(void);
/* From the tick: the same, but leaves alone what needs a lock that somebody holds. Interrupts off. */
void deferred_sweep_irqoff(void);
/* Any ticket of any CPU that is ready, of space s or, if NULL, of any. Returns how many are still deferred, ready or not.
 * THREAD. */
u32 deferred_sweep_all(const struct space *s);
/* Tells every CPU that a deferred ticket of s (NULL: of any space) still waits for to forget everything, now, and waits until it
 * has: the tickets are ready then. A CPU that is late is named and rung once more; panics if it never comes. THREAD, no lock held. */
void deferred_pull(const struct space *s);

/* Has this CPU deferred tickets, ready or not? */
bool deferred_here(void);
/* From the tick: tells the CPUs that this CPU's own deferred tickets wait for, and does not wait. Those that a ticket has waited for over so
 * many ticks, not 0, are named and rung anew, whatever their pending words say. Interrupts off. */
void deferred_pull_here(u32 late_after);
/* mm/user_return.c: looks after this CPU's deferred tickets in a while, should nobody do so earlier. THREAD, preemption off. */
void shootdown_want_tick(void);

/* For a policy that counts completions: says in the ticket's place that so many CPUs are to call deferred_complete with the
 * returned serial. Before deferred_publish. */
u64 deferred_count(struct tlb_ticket *t, u32 cpus);
/* One of them is done with ticket t; the last one releases it, if nobody has. The place may have another ticket by now, which
 * the serial tells. Interrupts off. */
void deferred_complete(struct tlb_ticket *t, u64 serial);

/* ---- mm/ticket_special.c ---- */

/* Has every CPU of t->must published what the release needs? Any context. */
bool ticket_is_ready(const struct tlb_ticket *t);
/* The first CPU of t->must, from `from` on, that has not; CPU_NONE: there is none. */
cpu_t ticket_behind(const struct tlb_ticket *t, cpu_t from);
/* Gives the memory back, then takes t out of its space's list. False if `try` and the space's lock is held: the memory has been
 * given back, the range is still taken. The space must not be touched by the caller afterwards. */
bool ticket_release_deferred(struct tlb_ticket *t, bool try);
