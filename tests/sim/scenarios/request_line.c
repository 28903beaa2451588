/* opt= without line: the request lies in the initiator's line, which it uses again. */
#include "tests/sim/scenario.h"

static struct space *s, *other;

static void setup(void)
{
    s = sim_space();
    other = sim_space();
    sim_map(s, SIM_VA, 2, PT_USER | PT_WRITE); /* one of them stays, and the tables with it */
    sim_map(other, SIM_VA, 2, PT_USER | PT_WRITE);
    sim_run_in(1, s);
    sim_on(1, irq_disable); /* so the first stays before it */
}

/* The second may begin while CPU 1, on its way from one space to the other, has the first still before it. */
static void initiator(void)
{
    sim_unmap(s, SIM_VA, 1);
    sim_unmap(other, SIM_VA + PAGE_SIZE, 1);
}

static void wanderer(void)
{
    sim_load_space(other);
    irq_enable();
    sim_use(SIM_VA + PAGE_SIZE, SIM_WRITE);
    sim_use(SIM_VA, SIM_READ);
}

SCENARIO(request_line, "a request comes to a CPU that has left its space, when the next one is on its way",
         .cpus = 2, .setup = setup, .body = {initiator, wanderer}, .one_policy = true);
