#include "tests/sim/scenario.h"

#define MESSAGES 3u

static u64 got[MESSAGES];
static u32 count;

static void note(struct msg_in *in)
{
    u64 first = atomic_load_relaxed(&in->word[0]), last = atomic_load_relaxed(&in->word[5]);
    SIM_CHECK(count < MESSAGES, "a message ran twice");
    SIM_CHECK(first == last, "words %llu and %llu: two messages in one", (unsigned long long)first,
              (unsigned long long)last);
    got[count++] = first;
}
MSG_KIND(sim_note, note);

static u32 ran;
static void count_one(struct msg_in *in)
{
    (void)in;
    /* A step, so that whoever believes in the end too early is seen. */
    u32 more = atomic_load_relaxed(&ran) + 1;
    ran = more;
}
MSG_KIND(sim_ran, count_one);

static void sender(void)
{
    for (u64 i = 1; i <= MESSAGES; i++) {
        err_t e = msg_send(1, &(struct msg){.kind = &sim_note,
                                            .flags = i & 1 ? MSG_ASYNC : MSG_SYNC,
                                            .word = {i, i, i, i, i, i}});
        SIM_CHECK(e == ERR_OK, "error %d", e);
    }
    err_t e = msg_wait(1);
    SIM_CHECK(e == ERR_OK, "error %d", e);
    u32 before = ran;
    e = msg_call(1, &(struct msg){.kind = &sim_ran, .flags = MSG_SYNC});
    SIM_CHECK(e == ERR_OK && ran == before + 1, "a call has returned, but has not run");
    e = msg_call(1, &(struct msg){.kind = &sim_ran, .flags = MSG_NMI});
    SIM_CHECK(e == ERR_OK && ran == before + 2, "a call by NMI has returned, but has not run");
}

static void receiver(void)
{
    for (u32 i = 0; i < 4; i++) {
        irq_disable();
        irq_enable();
    }
}

static void end(void)
{
    SIM_CHECK(count == MESSAGES, "%u of %u messages ran", count, MESSAGES);
    for (u64 i = 0; i < MESSAGES; i++)
        SIM_CHECK(got[i] == i + 1, "message %llu came in place %llu", (unsigned long long)got[i],
                  (unsigned long long)i + 1);
}

SCENARIO(message_order, "messages through one line: each once, whole, and in order", .cpus = 2,
         .body = {sender, receiver}, .end = end, .one_policy = true, .bound = 3);
