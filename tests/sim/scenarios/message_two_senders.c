#include "tests/sim/scenario.h"

#define MESSAGES 2u

static u64 last[HOST_CPUS]; /* number of the last message, by sender */

static void note(struct msg_in *in)
{
    u64 first = atomic_load_relaxed(&in->word[0]), end = atomic_load_relaxed(&in->word[5]);
    SIM_CHECK(first == end, "words %llu and %llu: two messages in one", (unsigned long long)first,
              (unsigned long long)end);
    SIM_CHECK(first == last[in->from] + 1, "from CPU %u: message %llu after %llu", in->from,
              (unsigned long long)first, (unsigned long long)last[in->from]);
    last[in->from] = first;
}
MSG_KIND(sim_note_sender, note);

static void sender(void)
{
    for (u64 i = 1; i <= MESSAGES; i++) {
        err_t e = msg_call(1, &(struct msg){.kind = &sim_note_sender,
                                            .flags = i & 1 ? MSG_SYNC : MSG_ASYNC,
                                            .word = {i, i, i, i, i, i}});
        SIM_CHECK(e == ERR_OK, "error %d", e);
    }
}

static void receiver(void) {}

static void end(void)
{
    SIM_CHECK(last[0] == MESSAGES && last[2] == MESSAGES, "%llu and %llu messages ran",
              (unsigned long long)last[0], (unsigned long long)last[2]);
}

SCENARIO(message_two_senders,
         "two CPUs send to a third: one interrupt may serve both, and neither's line is read too early",
         .cpus = 3, .body = {sender, receiver, sender}, .end = end, .one_policy = true);
