/* Litmus tests of the simulated machine: a table, a few lines for each row.
 *
 *   LITMUS(protect, "writing is taken away", pages(2, PT_USER | PT_WRITE), sim_protect(space, SIM_VA, 1, PT_USER),
 *          uses(SIM_VA, SIM_WRITE), .control = true);
 *
 * One space, in which all CPUs run: `prepare` fills it, CPU 0 changes it, the others use what is being changed, and CPU 0 uses it too,
 * afterwards. As every scenario, each row runs under every policy in every configuration of the TLB; where .control is set, the
 * policy that flushes nothing must fail. docs/litmus.md lists them beside the kernel's own. */
#pragma once

#include "tests/sim/scenario.h"

static struct space *space;

static inline void pages(u64 n, u32 prot)
{
    sim_map(space, SIM_VA, n, prot);
}

/* Again and again, as observers do. */
static inline void uses(vaddr_t va, enum sim_access how)
{
    for (u32 i = 0; i < 3; i++)
        sim_use(va, how);
}

#define PAGE(n) (SIM_VA + (n)*PAGE_SIZE)

#define LITMUS_BODIES(ident, prepare, change, use)                                                           \
    static void ident##_setup(void)                                                                          \
    {                                                                                                        \
        space = sim_space();                                                                                 \
        prepare;                                                                                             \
        for (cpu_t c = 0; c < sim.cpus; c++)                                                                 \
            sim_run_in(c, space);                                                                            \
    }                                                                                                        \
    static void ident##_use(void)                                                                            \
    {                                                                                                        \
        use;                                                                                                 \
    }                                                                                                        \
    static void ident##_change(void)                                                                         \
    {                                                                                                        \
        change;                                                                                              \
        if (sim_cpus[sim.now].user)                                                                          \
            ident##_use();                                                                                   \
    }

#define LITMUS(ident, what_, prepare, change, use, ...)                                                      \
    LITMUS_BODIES(ident, prepare, change, use)                                                               \
    SCENARIO(ident, what_, .cpus = 2, .setup = ident##_setup, .body = {ident##_change, ident##_use},         \
             __VA_ARGS__)

#define LITMUS_3(ident, what_, prepare, change, use, ...)                                                    \
    LITMUS_BODIES(ident, prepare, change, use)                                                               \
    SCENARIO(ident, what_, .cpus = 3, .setup = ident##_setup,                                                \
             .body = {ident##_change, ident##_use, ident##_use}, __VA_ARGS__)
