/* Scenarios of the simulated machine: one file, one SCENARIO, nothing else to change.
 *
 *   static struct space *s;
 *   static void setup(void) { s = sim_space(); sim_map(s, SIM_VA, 1, PT_USER | PT_WRITE); sim_run_in(1, s); }
 *   static void initiator(void) { sim_unmap(s, VA, 1); }
 *   static void user(void) { sim_use(VA, SIM_READ); sim_use(VA, SIM_WRITE); }
 *   SCENARIO(unmap_one, "a page is taken away from a thread that uses it", .cpus = 2, .setup = setup,
 *            .body = {initiator, user}, .control = true);
 *
 * setup runs at once, alone. Then each CPU runs its body as a coroutine, and the explorer tries the interleavings. A run fails when an
 * access or a walk goes through what the protocol has promised gone, when a check fails, or when everybody waits for ever. */
#pragma once

#include "lib/table.h"
#include "mm/frame.h"
#include "mm/layout.h"
#include "mm/respond.h"
#include "mm/space.h"
#include "tests/sim/machine.h"

#define SIM_BODIES 4u

struct sim_scenario {
    const char *name, *what;
    u32 cpus;
    void (*setup)(void);
    void (*body[SIM_BODIES])(void);
    void (*end)(void); /* after all bodies, on CPU 0 */
    void (*nmi)(void); /* the NMI handler's own work, after the messages; with nmi_budget */
    u32 nmi_budget;    /* NMIs from outside that may come to nmi_target at any step */
    cpu_t nmi_target;
    u32 late_cpus;      /* a mask: these are not online when the bodies begin */
    bool control;       /* unsafe_nowait must fail here */
    bool needs_pcid;    /* run only in configurations with PCIDs */
    bool one_policy;    /* the policy does not matter */
    const char *policy; /* run under this one only */
    u32 bound;          /* deviations tried exhaustively, if more than usual */
    bool slow;          /* its runs are long: one deviation less */
    bool copies;        /* something is copied on write: run with opt=cow too */
};
TABLE_DECLARE(sim_scenario, struct sim_scenario);
#define SCENARIO(ident, what_, ...)                                                                          \
    TABLE_ENTRY(sim_scenario, struct sim_scenario,                                                           \
                sim_scenario_##ident) = {.name = #ident, .what = what_, __VA_ARGS__}

#define SIM_VA 0x0000123440000000ull /* 1 GiB aligned */

/* ---- for setup ---- */
void sim_on(cpu_t c, void (*fn)(void)); /* runs fn as CPU c */
struct space *sim_space(void);
void sim_run_in(cpu_t c, struct space *s); /* CPU c has s loaded, and its thread uses it */

/* ---- the calls of the kernel under test, with what they promise ---- */
void sim_load_space(struct space *s); /* the thread on this CPU now runs in s (NULL: in no user half) */
void sim_borrow(void);
void sim_map(struct space *s, vaddr_t va, u64 pages,
             u32 prot); /* fresh frames, owned; each page is watched */
void sim_unmap(struct space *s, vaddr_t va, u64 pages);
void sim_protect(struct space *s, vaddr_t va, u64 pages, u32 prot);
void sim_remap(struct space *s, vaddr_t va, u32 prot); /* one page, a fresh frame */
void sim_destroy(struct space *s);
/* Regions: a demand-zero page that is there; a copy of the space, whose page is watched; a write fault of the thread on this CPU. */
void sim_region(struct space *s, vaddr_t va);
struct space *sim_clone(struct space *from, vaddr_t va);
void sim_write_fault(struct space *s, vaddr_t va);
/* ---- what programs do ---- */
bool sim_use(vaddr_t va, enum sim_access how);        /* the thread on this CPU */
bool sim_use_kernel(vaddr_t va, enum sim_access how); /* kernel code, a kernel address */
void sim_use_in_nmi(vaddr_t va); /* asks nmi_user_access_ok() first, as NMI handlers must */
#define SIM_CHECK(cond, ...)                                                                                 \
    do {                                                                                                     \
        if (!(cond))                                                                                         \
            sim_fail("check: " #cond ": " __VA_ARGS__);                                                      \
    } while (0)
