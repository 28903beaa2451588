/* Many senders at once: order, exactly once, no deadlock. The deadlocks one fears are written down here as tests. */
#include "tests/message_util.h"

#define CALLS                                                                                                \
    200u /* per CPU and test: emulators with more virtual CPUs than host cores need some microseconds for each */

/* One stream per (sender, receiver) pair; both sides count, nobody writes the other's. */
static struct stream {
    u32 sent, got, wrong;
} streams[MAX_CPUS][8]; /* [receiver][sender modulo 8] is enough for the senders used below */
static u32 failures;

static void take_number(struct msg_in *in)
{
    struct stream *s = &streams[cpu_self()][in->from % 8];
    if (in->word[0] != ++s->got || in->word[1] != ~in->word[0] || in->word[5] != in->word[0] * in->from)
        s->wrong++;
}
MSG_KIND(test_number, take_number);

static struct msg next_number(cpu_t to, u32 flags)
{
    u64 n = ++streams[to][cpu_self() % 8].sent;
    return (struct msg){.kind = &test_number, .flags = flags, .word = {n, ~n, 0, 0, 0, n * cpu_self()}};
}

/* A worker that calls and sends to every other of the first `arg` CPUs. */
static void talk_to_all(void *arg)
{
    u32 n = (u32)(u64)arg;
    for (u32 i = 0; i < CALLS; i++)
        for (cpu_t to = 0; to < n; to++) {
            if (to == cpu_self())
                continue;
            struct msg m = next_number(to, i % 3 ? MSG_ASYNC : MSG_SYNC);
            err_t e = i % 3 ? msg_send(to, &m) : msg_call(to, &m);
            if (e != ERR_OK)
                atomic_fetch_add(&failures, 1);
        }
}

static void all_to_all(struct test *t, u32 n)
{
    failures = 0;
    for (cpu_t c = 0; c < MAX_CPUS; c++)
        for (u32 i = 0; i < 8; i++)
            streams[c][i] = (struct stream){0};
    for (cpu_t c = 1; c < n; c++)
        REQUIRE(t, worker_start(c, talk_to_all, (void *)(u64)n) == ERR_OK, "worker %u", c);
    talk_to_all((void *)(u64)n);
    for (cpu_t c = 1; c < n; c++)
        REQUIRE(t, worker_wait(c, 10 * MESSAGE_TEST_MS) == ERR_OK, "CPU %u has not come to its end", c);
    CHECK(t, failures == 0, "%u calls failed", failures);
    /* The last asynchronous ones may still be on their way into their function. */
    for (cpu_t to = 0; to < n; to++)
        for (cpu_t from = 0; from < n; from++)
            if (from != to) {
                struct stream *s = &streams[to][from % 8];
                (void)wait_for_u32(&s->got, s->sent);
                CHECK(t, s->got == s->sent && s->wrong == 0, "%u to %u: %u sent, %u ran, %u wrong", from, to,
                      s->sent, s->got, s->wrong);
            }
}

static void message_cross_calls(struct test *t)
{
    NEED_CPUS(t, 2);
    all_to_all(t, 2);
}
TEST(message_cross_calls,
     "two CPUs that call each other all the time do not deadlock, and lose or reorder nothing");

static void message_all_to_all(struct test *t)
{
    NEED_CPUS(t, 3);
    all_to_all(t, MIN(cpus_in_a_row(), 8u));
}
TEST(message_all_to_all, "all CPUs call all others at once: every message once and in order");

/* A token that IPI context hands on: post from inside a message function. */
static u32 hops, token_back;
static void pass_token(struct msg_in *in);
MSG_KIND(test_token, pass_token);

static void pass_token(struct msg_in *in)
{
    atomic_fetch_add(&hops, 1);
    if (in->word[0] == 0) {
        set_u32(&token_back, 1);
        return;
    }
    cpumask_t online;
    cpumask_snapshot(&online, &cpus_online);
    cpu_t next = cpumask_next(&online, cpu_self() + 1);
    struct msg m = {.kind = &test_token, .flags = MSG_ASYNC, .word = {in->word[0] - 1}};
    if (msg_post(next == CPU_NONE ? 0 : next, &m) != ERR_OK)
        atomic_fetch_add(&failures, 1);
}

static void message_ring_of_cpus(struct test *t)
{
    NEED_CPUS(t, 2);
    failures = hops = token_back = 0;
    u32 n = cpu_online_count(), rounds = 20;
    struct msg m = {.kind = &test_token, .flags = MSG_ASYNC, .word = {(u64)n * rounds - 1}};
    CHECK(t, msg_send(1, &m) == ERR_OK && wait_for_u32(&token_back, 1), "after %u of %u hops", hops,
          n * rounds);
    CHECK(t, hops == n * rounds && failures == 0, "%u hops, %u refused posts", hops, failures);
}
TEST(message_ring_of_cpus,
     "message functions hand a token around all CPUs, by posting from interrupt context");

/* A receiver whose functions post back to the sender, while the sender's thread posts to it: the handler on the sender
 * meets the thread's line in every state. */
static u32 echoes, echo_full;
static void count_echo(struct msg_in *in)
{
    (void)in;
    echoes++; /* CPU 0 only */
}
MSG_KIND(test_echo_back, count_echo);
static void bounce(struct msg_in *in)
{
    struct msg m = {.kind = &test_echo_back, .flags = MSG_ASYNC};
    if (in->from != 0 || msg_post(0, &m) != ERR_OK)
        echo_full++; /* CPU 1 only */
}
MSG_KIND(test_bounce, bounce);
static void bounce_off_handler(struct msg_in *in)
{
    (void)in;
    struct msg m = {.kind = &test_bounce, .flags = MSG_ASYNC};
    err_t e = msg_post(1, &m);
    if (e != ERR_OK && e != ERR_FULL)
        atomic_fetch_add(&failures, 1);
    else if (e == ERR_OK)
        atomic_fetch_add(&hops, 1);
}
MSG_KIND(test_poke, bounce_off_handler);

/* One poke for each step of CPU 0's thread. Faster ones would leave it no time at all: an acknowledgement on entry
 * lets the next interrupt come before the handler has returned. */
static u32 step, poke_stop;
static void poke_cpu0(void *arg)
{
    (void)arg;
    struct msg m = {.kind = &test_poke, .flags = MSG_ASYNC};
    u32 seen = 0;
    while (!atomic_load_relaxed(&poke_stop)) {
        u32 now = atomic_load_relaxed(&step);
        if (now != seen && msg_send(0, &m) != ERR_OK)
            atomic_fetch_add(&failures, 1);
        seen = now;
        cpu_pause();
    }
}

static void message_post_interrupted(struct test *t)
{
    NEED_CPUS(t, 3);
    failures = hops = echoes = echo_full = step = poke_stop = 0;
    REQUIRE(t, worker_start(2, poke_cpu0, NULL) == ERR_OK, "CPU 2 pokes CPU 0");
    u32 sent = 0;
    struct msg m = {.kind = &test_bounce, .flags = MSG_ASYNC};
    for (u32 i = 1; i <= CALLS * 4; i++) {
        atomic_store_relaxed(&step, i);
        sent += CHECK(t, msg_send(1, &m) == ERR_OK, "send %u", i);
    }
    atomic_store_relaxed(&poke_stop, 1);
    CHECK(t, worker_wait(2, MESSAGE_TEST_MS) == ERR_OK, "CPU 2 ends");
    struct wait w = WAIT("the last echoes", wait_ms(MESSAGE_TEST_MS));
    while (atomic_load_relaxed(&echoes) + atomic_load_relaxed(&echo_full) !=
           sent + atomic_load_relaxed(&hops))
        if (!wait_spin(&w))
            break;
    CHECK(t, hops > 0, "no handler has posted");
    CHECK(t, echoes + echo_full == sent + hops && failures == 0,
          "%u sent and %u from handlers, %u echoes and %u refused", sent, hops, echoes, echo_full);
}
TEST(message_post_interrupted, "a thread's post survives interrupt handlers that post to the same CPU");
