/* The cost model: what an emulator does not charge for, spent as extra ticks on the CPU that executes the operation.
 *
 *     cost_line();       beside an access to a cache line that another CPU has written or will read
 *     cost_lines(n);     the same for several at once: one NOP for all of them, as these stand on hot paths
 *     cost_turns(n);     beside a loop with a turn for each of n CPUs: costs nothing, but is counted
 *
 * The sites of lines can count instead (cost_count in kernel/cost.h): then nothing is spent, each access adds 1 to the counter
 * cache_lines of its CPU, and each turn 1 to cpu_turns.
 *
 * In Bochs every instruction costs one tick, a flush as much as an addition, so a shootdown looks far too cheap against the
 * code around it. A model gives each operation below a price. Each site is one NOP where its price is 0. kernel/cost.c has
 * the settings, kernel/cost_profiles.c the named machines, docs/cost-model.md what is charged where, and what is not. */
#pragma once

#include "lib/patch.h"
#include "lib/percpu.h"

enum cost {
    COST_INVLPG,  /* one page forgotten */
    COST_CR3,     /* CR3 written; of a flush by CR4.PGE, each of its two writes */
    COST_INVPCID, /* one INVPCID, whatever its type */
    COST_ENTRY,   /* an interrupt taken, and left by IRET: the target's time */
    COST_ICR,     /* one interrupt command written */
    COST_LINE,    /* one cache line fetched from another CPU, or taken from it for writing */
    COST_WIRE,    /* from the interrupt command to the target's entry: nobody's time */
    COSTS,
};

/* Each cost has a patch key, in the same order. */
#define COST_KEY(cost) ((enum patch_key)(PATCH_COST_FIRST + (cost)))
_Static_assert(PATCH_KEYS - PATCH_COST_FIRST == COSTS, "one patch key for each cost");

/* Any context. COST_ENTRY and COST_WIRE are charged by kernel/trap_entry.asm; of an NMI, by whoever knows that it was for him. */
#ifdef VOLLEY_HOST
#define cost_nmi() ((void)0)
#else
void cost_nmi_wire(void);
/* What that has spent in the NMI that this CPU is in: not its handler's time. kernel/nmi.c begins with 0. */
DECLARE_PERCPU(u64, cost_nmi_on_the_way);
#define cost_nmi()                                                                                           \
    do {                                                                                                     \
        if (patch_enabled(PATCH_COST_WIRE))                                                                  \
            cost_nmi_wire();                                                                                 \
        PATCH_CALL(PATCH_COST_ENTRY, cost_spend_entry);                                                      \
    } while (0)
#endif
#define cost_invlpg()  PATCH_CALL(PATCH_COST_INVLPG, cost_spend_invlpg)
#define cost_cr3()     PATCH_CALL(PATCH_COST_CR3, cost_spend_cr3)
#define cost_invpcid() PATCH_CALL(PATCH_COST_INVPCID, cost_spend_invpcid)
#define cost_icr()     PATCH_CALL(PATCH_COST_ICR, cost_spend_icr)
#define cost_line()    PATCH_CALL(PATCH_COST_LINE, cost_spend_line)
/* n is evaluated only while the site is on. */
#define cost_lines(n)   COST_TIMES(PATCH_COST_LINE, cost_spend_line, n, (void)0)
#define cost_invlpgs(n) COST_TIMES(PATCH_COST_INVLPG, cost_spend_invlpg, n, (void)0)
/* Both of lines and turns by one site; for turns alone, cost_turns. */
#define cost_lines_turns(n, turns) COST_TIMES(PATCH_COST_LINE, cost_spend_line, n, COST_TURNS_ADD(turns))
#ifdef VOLLEY_HOST
#define COST_TIMES(key, function, n, also) ((void)0)
#define cost_turns(n)                      ((void)0)
#ifdef VOLLEY_SIM /* compared with the lines that really move there: tests/sim/figures.c */
void sim_lines_charge(u32 n);
#undef cost_line
#undef cost_lines
#undef cost_lines_turns
#define cost_line()                sim_lines_charge(1)
#define cost_lines(n)              sim_lines_charge((u32)(n))
#define cost_lines_turns(n, turns) sim_lines_charge((u32)(n))
#endif
#else
#define COST_TURNS_ADD(n) (this_cpu(counter_cpu_turns) += (u64)(n))
#define cost_turns(n)                                                                                        \
    do {                                                                                                     \
        if (patch_enabled(PATCH_COST_LINE))                                                                  \
            COST_TURNS_ADD(n);                                                                               \
    } while (0)
#define COST_TIMES(key, function, n, also)                                                                   \
    do {                                                                                                     \
        if (patch_enabled(key)) {                                                                            \
            also;                                                                                            \
            for (u32 left_ = (u32)(n); left_; left_--)                                                       \
                __asm__ volatile("call " #function ::: "cc");                                                \
        }                                                                                                    \
    } while (0)
#endif

/* The prices that can be set: 0, or COST_MIN to COST_MAX ticks; by turns of a loop, an odd one is one tick less. */
#define COST_MIN 8u
#define COST_MAX 1000000u

DECLARE_PERCPU(u64, counter_cache_lines);
DECLARE_PERCPU(u64, counter_cpu_turns);

/* What lib/cost.asm reads for a price: turns of its loop, or ticks of the clock. */
u32 cost_word_for(u32 ticks, bool by_clock);
/* The word of lines while they are counted. */
#define COST_WORD_COUNTS 0xc0000000u
/* By cost; written by kernel/cost.c, read while the sites are on. */
extern u32 cost_word[COSTS];
