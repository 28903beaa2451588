/* One message, one receiver: payload, context, and when the line is free again. */
#include "tests/message_util.h"

static struct seen {
    u32 runs, more; /* runs is the last to be written */
    cpu_t on, from;
    u64 word[MSG_WORDS];
    u32 tag;
    bool in_irq, irqs_on, own_line;
    const struct msg_kind *current;
} seen[2]; /* by kind */
static struct gate gate;

static void look(struct msg_in *in, struct seen *s)
{
    s->on = cpu_self();
    s->from = in->from;
    for (u32 i = 0; i < MSG_WORDS; i++)
        s->word[i] = in->word[i];
    s->tag = msg_tag(in);
    s->in_irq = context_is_irq();
    s->irqs_on = irq_enabled();
    s->own_line = in->slot && in->word == in->slot->body.word;
    s->current = msg_current(cpu_self());
    set_u32(&s->runs, s->runs + 1);
}

static void look_first(struct msg_in *in)
{
    look(in, &seen[0]);
}
static void look_second(struct msg_in *in)
{
    look(in, &seen[1]);
}
/* Stays in the function until the gate opens, and looks at its words afterwards. */
static void look_after_gate(struct msg_in *in)
{
    (void)gate_pass(&gate);
    look(in, &seen[0]);
}
static void ack_then_gate(struct msg_in *in)
{
    struct msg_body copy = {.what = in->slot->body.what};
    msg_words_copy(copy.word, in->word);
    msg_ack(in);
    in->word = copy.word;
    look_after_gate(in);
}
MSG_KIND(test_first, look_first);
MSG_KIND(test_second, look_second);
MSG_KIND(test_held, look_after_gate);
MSG_KIND(test_acks_itself, ack_then_gate);

static struct msg numbered(const struct msg_kind *kind, u32 flags, u64 n)
{
    return (struct msg){.kind = kind,
                        .flags = flags,
                        .tag = (u32)n << 28 | (u32)~n >> 4, /* at times 0 above or below, never the same */
                        .word = {n, n << 8, n << 16, n << 24, n << 32, ~n}};
}

static bool is_numbered(const struct seen *s, u64 n)
{
    struct msg m = numbered(NULL, 0, n);
    for (u32 i = 0; i < MSG_WORDS; i++)
        if (s->word[i] != m.word[i])
            return false;
    return s->tag == m.tag;
}

static void fresh(void)
{
    seen[0] = seen[1] = (struct seen){0};
    gate = (struct gate){0};
}

static void message_call(struct test *t)
{
    NEED_CPUS(t, 2);
    cpumask_t others = all_others();
    CPUMASK_FOREACH (c, &others) {
        fresh();
        struct msg m = numbered(&test_first, MSG_SYNC, 7 + c);
        REQUIRE(t, msg_call(c, &m) == ERR_OK, "call to CPU %u", c);
        struct seen *s = &seen[0];
        CHECK(t, s->runs == 1 && s->on == c && s->from == cpu_self(), "%u runs, on %u, from %u", s->runs,
              s->on, s->from);
        CHECK(t, is_numbered(s, 7 + c), "CPU %u: last word %llx", c, (unsigned long long)s->word[5]);
        CHECK(t, s->in_irq && !s->irqs_on, "context: irq %d, interrupts %d", s->in_irq, s->irqs_on);
        CHECK(t, s->own_line, "a synchronous message is read in place");
        CHECK(t, s->current == &test_first && msg_current(c) == NULL,
              "the running kind is published, then withdrawn");
    }
}
TEST(message_call, "a call has run on the right CPU, in interrupt context, when it returns");

static void message_two_kinds(struct test *t)
{
    NEED_CPUS(t, 2);
    fresh();
    struct msg a = numbered(&test_first, MSG_SYNC, 1), b = numbered(&test_second, MSG_SYNC, 2);
    REQUIRE(t, msg_call(1, &a) == ERR_OK && msg_call(1, &b) == ERR_OK && msg_call(1, &a) == ERR_OK,
            "three calls");
    CHECK(t, seen[0].runs == 2 && is_numbered(&seen[0], 1), "first kind: %u runs", seen[0].runs);
    CHECK(t, seen[1].runs == 1 && is_numbered(&seen[1], 2), "second kind: %u runs", seen[1].runs);
}
TEST(message_two_kinds, "two kinds through one line run two functions");

static void message_sync_holds_line(struct test *t)
{
    NEED_CPUS(t, 2);
    fresh();
    struct msg m = numbered(&test_held, MSG_SYNC, 3), more = numbered(&test_first, MSG_SYNC, 99);
    preempt_disable();
    bool posted = CHECK(t, msg_post(1, &m) == ERR_OK, "the line is free");
    if (posted && CHECK(t, wait_for_u32(&gate.reached, 1), "the function has begun")) {
        u64 full = counted("msg_line_full");
        CHECK(t, msg_post(1, &more) == ERR_FULL, "the line is taken until the function has run");
        CHECK(t, counted("msg_line_full") == full + 1, "and that is counted");
        CHECK(t, seen[0].runs == 0, "the function has not ended");
        CHECK(t, msg_current(1) == &test_held, "CPU 1 says what it runs");
    }
    set_u32(&gate.release, 1);
    CHECK(t, msg_wait(1) == ERR_OK, "acknowledged");
    preempt_enable();
    CHECK(t, seen[0].runs == 1 && is_numbered(&seen[0], 3), "the refused post has changed nothing");
}
TEST(message_sync_holds_line,
     "a synchronous message keeps its line until its function has run; a post meanwhile is refused");

static void check_early(struct test *t, const struct msg_kind *kind, u32 flags)
{
    fresh();
    struct msg m = numbered(kind, flags, 4), next = numbered(&test_second, MSG_ASYNC, 5);
    preempt_disable();
    CHECK(t, msg_post(1, &m) == ERR_OK && wait_for_u32(&gate.reached, 1), "the function has begun");
    CHECK(t, msg_wait(1) == ERR_OK, "acknowledged");
    CHECK(t, seen[0].runs == 0 && msg_current(1) == kind, "acknowledged while the function runs");
    CHECK(t, msg_post(1, &next) == ERR_OK, "the line takes the next message");
    set_u32(&gate.release, 1);
    CHECK(t, msg_wait(1) == ERR_OK && wait_for_u32(&seen[1].runs, 1), "the next one has run, too");
    preempt_enable();
    CHECK(t, seen[0].runs == 1 && is_numbered(&seen[0], 4) && !seen[0].own_line,
          "its words are a copy: first word %llx after the line was filled again",
          (unsigned long long)seen[0].word[0]);
    CHECK(t, is_numbered(&seen[1], 5), "the next one has its own words");
}

static void message_async_acks_on_entry(struct test *t)
{
    NEED_CPUS(t, 2);
    check_early(t, &test_held, MSG_ASYNC);
}
TEST(message_async_acks_on_entry,
     "an asynchronous message is acknowledged before it runs, and keeps its payload");

static void message_own_ack(struct test *t)
{
    NEED_CPUS(t, 2);
    check_early(t, &test_acks_itself, MSG_OWN_ACK);
    fresh();
    struct msg forgets = numbered(&test_first, MSG_OWN_ACK, 6);
    CHECK(t, msg_call(1, &forgets) == ERR_OK && seen[0].runs == 1,
          "a function that forgets is acknowledged after it");
}
TEST(message_own_ack, "a function may acknowledge by itself, once, and go on");

static void message_to_self(struct test *t)
{
    fresh();
    struct msg m = numbered(&test_first, MSG_SYNC, 8);
    CHECK(t, msg_call(cpu_self(), &m) == ERR_OK, "call");
    CHECK(t, seen[0].runs == 1 && seen[0].on == cpu_self() && seen[0].from == cpu_self(), "%u runs",
          seen[0].runs);
    CHECK(t, is_numbered(&seen[0], 8) && !seen[0].irqs_on && irq_enabled(),
          "interrupts off inside, on afterwards");
    m.flags = MSG_ASYNC;
    CHECK(t, msg_send(cpu_self(), &m) == ERR_OK && seen[0].runs == 2, "send");
}
TEST(message_to_self, "a CPU that calls itself runs the function at once");

static void message_absent(struct test *t)
{
    fresh();
    struct msg m = numbered(&test_first, MSG_SYNC, 9);
    CHECK(t, msg_call(cpu_count(), &m) == ERR_ABSENT && msg_send(CPU_NONE, &m) == ERR_ABSENT, "no such CPU");
    for (cpu_t c = 0; c < cpu_count(); c++)
        if (!cpu_is_online(c))
            CHECK(t, msg_call(c, &m) == ERR_ABSENT, "CPU %u never started", c);
    CHECK(t, seen[0].runs == 0, "nothing ran");
}
TEST(message_absent, "a message to a CPU that is not there is refused");

static void message_nmi(struct test *t)
{
    NEED_CPUS(t, 2);
    fresh();
    struct gate held;
    REQUIRE(t, hold_cpu(1, &held), "CPU 1 holds its interrupts off");
    struct msg fixed = numbered(&test_second, MSG_ASYNC, 10),
               nmi = numbered(&test_first, MSG_SYNC | MSG_NMI, 11);
    CHECK(t, msg_call(1, &nmi) == ERR_OK && seen[0].runs == 1 && is_numbered(&seen[0], 11),
          "the NMI gets through");
    CHECK(t, msg_send(1, &fixed) == ERR_OK && seen[1].runs == 0, "the ordinary message does not");
    CHECK(t, release_cpu(1, &held) && wait_for_u32(&seen[1].runs, 1), "until interrupts are on again");
}
TEST(message_nmi, "a message by NMI runs on a CPU that has interrupts off");
