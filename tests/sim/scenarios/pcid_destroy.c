#include "tests/sim/scenario.h"

static struct space *s, *other;

static void setup(void)
{
    s = sim_space();
    other = sim_space();
    sim_map(s, SIM_VA, 1, PT_USER | PT_WRITE);
    sim_map(other, SIM_VA + 4 * MIB, 1, PT_USER | PT_WRITE);
    sim_run_in(1, s);
    sim_run_in(1, other); /* PCID entries of s stay behind on CPU 1 */
}

static struct space *next;

static void destroyer(void)
{
    sim_destroy(s);
    struct space *n = sim_space(); /* in the same memory */
    sim_map(n, SIM_VA, 1, PT_USER | PT_WRITE);
    /* orders: the space before the pointer; pairs with: tests/sim/scenarios/pcid_destroy.c:visitor; else: half a space. */
    atomic_store_release(&next, n);
}

static void visitor(void)
{
    struct space *n;
    /* orders: reading the space after the pointer; pairs with: destroyer; else: half a space */
    while (!(n = atomic_load_acquire(&next)))
        cpu_pause();
    sim_load_space(n);
    sim_use(SIM_VA, SIM_WRITE);
    sim_load_space(other);
    sim_load_space(n);
    sim_use(SIM_VA, SIM_WRITE);
}

SCENARIO(pcid_destroy, "a space dies whose entries a PCID has kept; the next space lies in the same memory",
         .cpus = 2, .setup = setup, .body = {destroyer, visitor}, .one_policy = true);
