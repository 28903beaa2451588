/* The changes under which a stale translation must not survive: each scenario makes one of them many times, with every CPU
 * observing (tests/observer.h), and says whether anything old could be reached. tests/stale.c runs them under every policy that
 * claims to be right, tests/stale_control.c under the one that is broken on purpose. */
#pragma once

#include "mm/shootdown.h"
#include "tests/observer.h"
#include "tests/test.h"

struct outcome {
    u64 violations, uses, faults, rounds;
    u64 reused;         /* rounds in which the very frame that was taken away was given to a new owner */
    cpu_t cpu;          /* of the first violation */
    u64 found;          /* and what it reached */
    const char *broken; /* NULL, or why the scenario could not be played */
};

/* One round of one change in space s (NULL: the kernel's), observers with interrupts off or on. Adds to out. */
typedef void (*scenario_fn)(struct space *s, bool irqs_off, struct outcome *out);

void scenario_unmap(struct space *s, bool irqs_off, struct outcome *out); /* the frame goes to a new owner */
void scenario_protect(struct space *s, bool irqs_off, struct outcome *out); /* writing is taken away */
void scenario_remap(struct space *s, bool irqs_off, struct outcome *out); /* another frame behind the page */
void scenario_execute(struct space *s, bool irqs_off, struct outcome *out); /* other code behind the page */
void scenario_no_execute(struct space *s, bool irqs_off, struct outcome *out); /* execution is taken away */
/* The same unmap, with all pages of a table: the table page is freed and reused too. User spaces only. */
void scenario_table(struct space *s, bool irqs_off, struct outcome *out);

/* How often a scenario is played. A missing flush shows in every round with interrupts off on the observers, and in nearly
 * every round with them on, so few are needed; those with interrupts off cost a right policy the whole time that they are. */
struct rounds {
    u32 irqs_on, irqs_off;
};

/* Plays a scenario under a policy, in a space of its own or, if in_kernel, on a kernel page. The policy in force is restored.
 * THREAD on CPU 0. */
struct outcome scenario_play(scenario_fn fn, const struct shootdown_policy *policy, bool in_kernel,
                             struct rounds n);
