#include "tests/sim/scenario.h"

static struct space *s;

/* A call that copies to user memory, like any handler that was queued before the shootdown; it opens a user-access section for it, as all
 * kernel code does (kernel/uaccess.c), so that what was promised until the return to ring 3 is done first. */
static void copy_to_user(struct msg_in *in)
{
    (void)in;
    if (this_cpu(tlb_loaded) == s) {
        bool was_closed = shootdown_user_open();
        sim_touch(s, SIM_VA, SIM_WRITE, "a call in front");
        sim_touch(s, SIM_VA, SIM_READ, "a call in front");
        if (was_closed)
            shootdown_user_close();
    }
}
MSG_KIND(sim_copy_to_user, copy_to_user);

static void setup(void)
{
    s = sim_space();
    sim_map(s, SIM_VA, 2, PT_USER | PT_WRITE);
    sim_run_in(0, s);
    sim_run_in(1, s);
}

static void initiator(void)
{
    sim_unmap(s, SIM_VA, 1);
}

static void user(void)
{
    sim_use(SIM_VA, SIM_READ);
}

static void caller(void)
{
    err_t e = msg_send(1, &(struct msg){.kind = &sim_copy_to_user, .flags = MSG_ASYNC});
    SIM_CHECK(e == ERR_OK, "error %d", e);
}

SCENARIO(call_in_front,
         "another CPU's call, which touches user memory, is run by the same interrupt, before or after",
         .cpus = 3, .setup = setup, .body = {initiator, user, caller});
