/* Several changes in one system call, which a policy may answer for together. */
#include "lib/string.h"
#include "lib/x86/cpu.h"
#include "mm/shootdown.h"
#include "tests/sim/litmus.h"

#define RW (PT_USER | PT_WRITE)

/* Whoever puts shootdowns off until ring 3 promises them there. */
static void back_in_ring3(void)
{
    sim_use(PAGE(1), SIM_WRITE);
    if (!strcmp(shootdown_policy()->name, "batched"))
        sim_ghost_promise(space, SIM_VA, PAGE(3));
}

LITMUS(litmus_batch, "two unmaps in one system call: both hold when it returns to ring 3", pages(3, RW),
       (sim_use(PAGE(1), SIM_WRITE), sim_unmap(space, SIM_VA, 1), sim_unmap(space, PAGE(2), 1),
        back_in_ring3()),
       (sim_use(SIM_VA, SIM_WRITE), sim_use(PAGE(2), SIM_WRITE)), .control = true);

/* The third CPU comes while the batch is open: it has to be told of the second change, if it was too late for the first. */
static void newcomer(void)
{
    sim_load_space(space);
    for (u32 i = 0; i < 3; i++) {
        sim_use(PAGE(2), SIM_WRITE);
        cpu_pause(); /* lets the others go on */
    }
}
static void batch_grows_setup(void)
{
    space = sim_space();
    pages(3, RW);
    sim_run_in(0, space);
    sim_run_in(1, space);
}
static void batch_grows_change(void)
{
    sim_use(PAGE(1), SIM_WRITE);
    sim_unmap(space, SIM_VA, 1);
    sim_unmap(space, PAGE(2), 1);
    back_in_ring3();
}
static void batch_grows_use(void)
{
    sim_use(SIM_VA, SIM_WRITE);
}
SCENARIO(litmus_batch_grows, "a CPU loads the space between two unmaps of one system call", .cpus = 3,
         .setup = batch_grows_setup, .body = {batch_grows_change, batch_grows_use, newcomer});
