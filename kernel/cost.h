/* The cost model in force: cost= and cost.NAME= on the command line, `set cost=` and `cost` at the prompt. What is charged
 * where: lib/cost.h. */
#pragma once

#include "lib/cost.h"
#include "lib/table.h"

/* A named machine: prices in ticks, by enum cost; one table entry each (kernel/cost_profiles.c). */
struct cost_profile {
    const char *name, *machine; /* machine: what it stands for */
    u32 ticks[COSTS];
};
TABLE_DECLARE(cost_profile, struct cost_profile);
#define COST_PROFILE(ident, machine_, ...)                                                                   \
    TABLE_ENTRY(cost_profile, struct cost_profile,                                                           \
                cost_profile_##ident) = {.name = #ident, .machine = machine_, .ticks = {__VA_ARGS__}}

/* What the command line asked for takes effect: patches the sites. THREAD, once, when all CPUs are up. From then on the
 * settings take effect at once. */
void cost_init(void);
/* For the records: "none", a profile's name, a name and what was changed ("haswell,line=60"), or all prices that are not 0
 * ("invlpg=100,icr=300"); with "lines=count" where lines are counted by that setting, and not paid for. Prints nothing; any context. */
const char *cost_model_name(void);
u32 cost_ticks(enum cost c);
const char *cost_name(enum cost c);
/* Sets all prices by profile name, or "none". False: no such profile. THREAD. */
bool cost_select(const char *name);
/* Sets one price: 0, or COST_MIN to COST_MAX; false otherwise. THREAD. */
bool cost_set(enum cost c, u64 ticks);

/* The sites of lines count (counters cache_lines, cpu_turns) and spend nothing, until told otherwise: then again what lines= says. THREAD. */
void cost_count(bool on);

/* What can be set of a measured price: 0 for one that is nearer to nothing than to COST_MIN, else within COST_MIN and COST_MAX. */
u32 cost_settable(u64 ticks);
/* Measures this machine's prices and prints them as settings, which cost_set takes as they are, and as a `cost` record with how far they can be
 * trusted (kernel/cost_measure.c). THREAD. */
void cost_measure(void);
