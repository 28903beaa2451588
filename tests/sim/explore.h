/* The explorer: runs a scenario again and again from a snapshot, each time with other deviations from the default schedule. */
#pragma once

#include "tests/sim/machine.h"

struct sim_scenario;

/* At its `step`th decision the run takes its `choice`th alternative instead of the default. A schedule is a list of these, and
 * nothing else: "812.1 840.3" repeats a run. */
struct deviation {
    u32 step;
    u32 choice;
};
#define DEVIATIONS_MAX 64u

struct plan {
    u32 count;
    bool
        loose; /* random: at the first decision at or after the step; the choice is taken modulo what there is */
    struct deviation at[DEVIATIONS_MAX];
};

struct run {
    bool failed;
    u32 steps;
    struct plan taken; /* exact: repeats the run */
    char why[512];
};

#define SHARED_SLOTS 8192u

/* Outside of the snapshot: on the host's heap. */
struct explorer {
    const struct sim_scenario *scenario;
    struct plan plan;
    struct run run;
    u32 next; /* deviation of the plan */
    bool ended_ok;
    bool collect; /* note the alternatives of each step */
    u8 alternatives[SIM_STEPS_MAX + 2];
    void *stack_pointer; /* the explorer's own */
    u8 *stacks[HOST_CPUS];
    /* Words by who accesses them: those that only one CPU uses, or nobody writes, need no switch before them. */
    struct {
        const volatile void *word;
        u16 readers, writers;
        bool shared;
    } words[SHARED_SLOTS];
    bool shared_grew;
    bool all_shared; /* to repeat a schedule that another process found */
    u32 lines[2];    /* figures.c: counts that a run brings home */
    /* the snapshot */
    u8 *data, *phys;
    u32 phys_used;
};
extern struct explorer *explorer;

/* ---- for schedule.c ---- */
u32 explore_choose(u32 step, u32 alternatives); /* 0: the default; 1 .. alternatives */
bool explore_is_shared(cpu_t c, const volatile void *p, bool write);
NORETURN void explore_run_ended(void);
NORETURN void sim_cpu_main(void);

/* ---- kernel.c: running what may fail outside of the coroutines ---- */
bool explore_guard(void (*fn)(void)); /* false: it failed, explorer->run says how */
NORETURN void explore_leave_setup(void);

/* ---- for main.c ---- */
void explore_init(void);
/* From the pristine program state: sets the scenario up with these settings, and takes the snapshot. False: it failed. */
struct sim_config {
    const char *name;
    bool pcid, invpcid, global;
    bool full; /* for main.c */
    bool nmi;  /* delivery=nmi: for policies whose targets may be told so */
    u32 opt; /* switches of mm/opt.h that are not as by default: for policies that have the layout of mm/split.c */
};
bool sim_set_up(const char *policy, const struct sim_config *config); /* kernel.c */
bool explore_setup(const struct sim_scenario *s, const char *policy, const struct sim_config *config);
void explore_run(const struct plan *plan, bool trace);

struct result {
    u64 schedules, steps;
    bool complete;
    u64 failures; /* schedules that failed; the search ends at the first, unless it counts them */
    u64 first;    /* number of the first that failed, from 1 */
    struct run failed;
};
/* All schedules of at most `bound` deviations, at most `limit` of them. */
void explore_bounded(u32 bound, u64 limit, struct result *r);
void explore_exactly(u32 bound, u64 limit, struct result *r); /* the same; what is shared is known already */
/* `count` schedules of up to `most` deviations at random places. */
void explore_random(u64 seed, u64 count, u32 most, struct result *r);
void plan_format(const struct plan *p, char *out, size_t size);
bool sim_figures(void); /* figures.c */
bool plan_parse(const char *text, struct plan *p);
