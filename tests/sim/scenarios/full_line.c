#include "tests/sim/scenario.h"

static struct space *s;
static u32 ran;

static void nothing(struct msg_in *in)
{
    (void)in;
    ran++;
}
MSG_KIND(sim_nothing, nothing);

static void setup(void)
{
    s = sim_space();
    sim_map(s, SIM_VA, 2, PT_USER | PT_WRITE);
    sim_map(s, SIM_VA + 4 * MIB, 1, PT_USER | PT_WRITE);
    sim_run_in(0, s);
    sim_run_in(1, s);
}

/* The line to CPU 1 may still hold the message: then the flush-everything word is used. */
static void initiator(void)
{
    err_t e = msg_send(1, &(struct msg){.kind = &sim_nothing});
    SIM_CHECK(e == ERR_OK, "error %d", e);
    sim_unmap(s, SIM_VA, 1);
    e = msg_send(1, &(struct msg){.kind = &sim_nothing, .flags = MSG_ASYNC});
    SIM_CHECK(e == ERR_OK, "error %d", e);
    sim_unmap(s, SIM_VA + 4 * MIB, 1);
}

static void user(void)
{
    sim_use(SIM_VA, SIM_WRITE);
    sim_use(SIM_VA + 4 * MIB, SIM_WRITE);
    sim_use(SIM_VA, SIM_WRITE);
    sim_use(SIM_VA + 4 * MIB, SIM_WRITE);
}

static void end(void)
{
    SIM_CHECK(ran == 2, "%u messages ran", ran);
}

SCENARIO(full_line, "the line to the target is still full: it is told by its flush-everything word",
         .cpus = 2, .setup = setup, .body = {initiator, user}, .end = end);
