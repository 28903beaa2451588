/* The states of a message, one step at a time: one thread plays all CPUs, so every interleaving is chosen here.
 *
 *     sources: smp/message.c smp/deliver.c smp/send.c smp/drain.c smp/wait.c smp/cpus.c lib/wait.c
 *     sanitize: address,undefined
 */
#include "tests/host/host.h"

#include "tests/host/message_machine.h"

#define CPUS 6u

/* What ran, in order. */
static struct ran {
    cpu_t on, from;
    u64 word[MSG_WORDS];
    u32 tag;
    bool line_free; /* while the function ran */
    const struct msg_kind *current;
} ran[64];
static u32 ran_count;

static void note(struct msg_in *in);
static void note_own_ack(struct msg_in *in);
static void note_other(struct msg_in *in);
MSG_KIND(note_kind, note);
MSG_KIND(own_ack_kind, note_own_ack);
MSG_KIND(other_kind, note_other);

static void note(struct msg_in *in)
{
    struct ran *r = &ran[ran_count++ % ARRAY_SIZE(ran)];
    *r = (struct ran){.on = host_cpu(), .from = in->from, .current = msg_current(host_cpu())};
    r->line_free = in->slot && atomic_load_relaxed(&in->slot->acked) == slot_posted(in->slot);
    r->tag = msg_tag(in);
    memcpy(r->word, in->word, sizeof(r->word));
}
static void note_other(struct msg_in *in)
{
    note(in);
}
static void note_own_ack(struct msg_in *in)
{
    struct msg_body copy = {.what = in->slot->body.what};
    msg_words_copy(copy.word, in->word);
    msg_ack(in);
    msg_ack(in); /* idempotent */
    in->word = copy.word;
    note(in);
}

/* What the interrupted or waiting code is to meet at its n-th access to shared memory from now. */
static u32 event_countdown;
static void (*event)(void);
static u64 sim_points;
void host_sim_point(const volatile void *p)
{
    (void)p;
    sim_points++;
    if (event_countdown && --event_countdown == 0)
        event();
}

static void on_cpu(cpu_t cpu)
{
    host_cpu_index = cpu;
}
/* Takes the pending interrupt of that CPU, if there is one. */
static bool interrupt(cpu_t cpu)
{
    cpu_t before = host_cpu_index;
    if (!irr[cpu])
        return false;
    irr[cpu] = 0;
    on_cpu(cpu);
    msg_drain();
    on_cpu(before);
    return true;
}
static u64 count(const char *name)
{
    TABLE_FOREACH (counter, struct counter, c)
        if (strcmp(c->name, name) == 0) {
            u64 sum = 0;
            for (u32 i = 0; i < HOST_CPUS; i++)
                sum += c->percpu[i];
            return sum;
        }
    HOST_CHECK(false, "no counter %s", name);
    return 0;
}
static void fresh(void)
{
    machine_init(CPUS);
    ran_count = 0;
    event_countdown = 0;
    on_cpu(0);
    msg_delivery_set(MSG_DELIVERY_AUTO);
}
static struct msg numbered(u32 flags, u64 n)
{
    return (struct msg){.kind = &note_kind, .flags = flags, .word = {n, n + 1, n + 2, n + 3, n + 4, n + 5}};
}
static cpumask_t cpus(u64 bits)
{
    cpumask_t m = {0};
    m.w[0] = bits;
    return m;
}

HOST_TEST(line_opens_claims_fills_and_frees)
{
    static struct msg_slot s;
    slot_init_closed(&s);
    HOST_CHECK(slot_is_closed(&s) && !slot_claim(&s), "a closed line cannot be claimed");
    HOST_CHECK(slot_done(&s, slot_posted(&s)), "a closed line has nothing to wait for");
    slot_open(&s);
    HOST_CHECK(!slot_is_closed(&s), "open");
    /* Through the wrap of the 32-bit counters, and once at every state. */
    s.posted = s.acked = ~0u - 2;
    for (u32 i = 0; i < 6; i++) {
        HOST_CHECK(!slot_is_closed(&s) && slot_claim(&s), "round %u: free", i);
        HOST_CHECK(!slot_claim(&s) && !slot_is_closed(&s), "round %u: busy", i);
        slot_open(&s);
        HOST_CHECK(!slot_claim(&s), "round %u: opening an open line changes nothing", i);
        u32 posted = slot_posted(&s);
        HOST_CHECK(!slot_done(&s, posted), "round %u: not yet", i);
        slot_ack(&s);
        HOST_CHECK(slot_done(&s, posted) && slot_done(&s, posted - 1), "round %u: acknowledged", i);
    }
}

HOST_TEST(pending_word_tells_who_rings)
{
    static u64 word;
    HOST_CHECK(inbox_publish(&word, 1ull << 63), "the first rings");
    HOST_CHECK(!inbox_publish(&word, 1), "the second does not");
    HOST_CHECK(!inbox_publish_again(&word, 1) && !inbox_publish_again(&word, 2), "nor a bare doorbell");
    HOST_CHECK(inbox_take(&word) == (1ull << 63 | 3), "all bits at once");
    HOST_CHECK(inbox_take(&word) == 0 && inbox_publish_again(&word, 2), "after that the next one rings");
}

HOST_TEST(sync_is_acknowledged_after_the_function_async_before)
{
    fresh();
    struct msg m = numbered(MSG_SYNC, 10);
    HOST_CHECK(msg_post(1, &m) == ERR_OK && interrupt(1), "posted and rung");
    HOST_CHECK(ran_count == 1 && ran[0].on == 1 && ran[0].from == 0 && ran[0].word[5] == 15,
               "ran with its payload");
    HOST_CHECK(!ran[0].line_free && ran[0].current == &note_kind,
               "in place: the line is taken, the kind published");
    HOST_CHECK(msg_current(1) == NULL && msg_wait(1) == ERR_OK, "done");
    m.flags = MSG_ASYNC;
    HOST_CHECK(msg_post(1, &m) == ERR_OK && interrupt(1) && ran[1].line_free,
               "asynchronous: free while it runs");
    m.kind = &own_ack_kind;
    m.flags = MSG_OWN_ACK;
    HOST_CHECK(msg_post(1, &m) == ERR_OK && interrupt(1), "rung");
    HOST_CHECK(ran[2].line_free && ran[2].word[0] == 10, "its own acknowledgement, while it runs");
    HOST_CHECK(!interrupt(1), "no further interrupt");
}

HOST_TEST(tag_travels_beside_kind_and_flags)
{
    static const u32 tags[] = {0, 1, 0x7fffffff, 0x80000000, 0xdeadbeef, ~0u};
    for (u32 i = 0; i < ARRAY_SIZE(tags); i++)
        for (u32 flags = 0; flags <= SLOT_FLAGS_MASK; flags++) {
            u64 what = slot_what(&note_kind, flags, tags[i]);
            HOST_CHECK(slot_kind((u32)what) == &note_kind && slot_tag(what) == tags[i],
                       "tag %x, flags %u: %lx", tags[i], flags, what);
            HOST_CHECK((what & SLOT_FLAGS_MASK) == flags && (u32)what != 0, "tag %x, flags %u", tags[i],
                       flags);
        }
    fresh();
    for (u32 i = 0; i < ARRAY_SIZE(tags); i++)
        for (cpu_t to = 0; to < 2; to++) { /* 0: to itself */
            struct msg m = numbered(i & 1 ? MSG_SYNC : MSG_ASYNC, i);
            m.tag = tags[i];
            ran_count = 0;
            HOST_CHECK(msg_send(to, &m) == ERR_OK && (to == 0 || interrupt(to)), "sent");
            HOST_CHECK(ran_count == 1 && ran[0].tag == tags[i] && ran[0].word[5] == i + 5,
                       "tag %x to CPU %u: %x", tags[i], to, ran[0].tag);
        }
}

HOST_TEST(full_line_refuses_and_changes_nothing)
{
    fresh();
    struct msg first = numbered(MSG_SYNC, 1), second = numbered(MSG_SYNC, 100);
    second.kind = &other_kind;
    u64 full = count("msg_line_full");
    HOST_CHECK(msg_post(2, &first) == ERR_OK, "free");
    HOST_CHECK(msg_post(2, &second) == ERR_FULL && msg_post(2, &second) == ERR_FULL, "full");
    HOST_CHECK(count("msg_line_full") == full + 2, "counted");
    HOST_CHECK(msg_post(3, &second) == ERR_OK, "another receiver's line is another line");
    HOST_CHECK(interrupt(2) && ran_count == 1 && ran[0].word[0] == 1 && ran[0].word[5] == 6,
               "the first, whole");
    HOST_CHECK(msg_post(2, &second) == ERR_OK && interrupt(2) && ran_count == 2 && ran[1].word[0] == 100,
               "then the second");
    interrupt(3);
}

HOST_TEST(one_interrupt_serves_many_senders_in_order)
{
    fresh();
    u64 rings = count("msg_rings"), saved = count("msg_rings_saved"), eoi = eois[1];
    for (cpu_t c = CPUS; c-- > 0;)
        if (c != 1) {
            on_cpu(c);
            struct msg m = numbered(c & 1 ? MSG_ASYNC : MSG_SYNC, c * 10);
            HOST_CHECK(msg_post(1, &m) == ERR_OK, "from %u", c);
        }
    HOST_CHECK(count("msg_rings") == rings + 1 && count("msg_rings_saved") == saved + CPUS - 2, "one ring");
    HOST_CHECK(interrupt(1) && ran_count == CPUS - 1, "all in one drain: %u", ran_count);
    HOST_CHECK(eois[1] == eoi + 1, "one EOI");
    for (u32 i = 1; i < ran_count; i++)
        HOST_CHECK(ran[i].from > ran[i - 1].from, "in index order");
    HOST_CHECK(!interrupt(1), "nothing left");
}

static u32 hook_calls;
static void hook(void)
{
    hook_calls++;
}
DOORBELL_HOOK(count_hook, hook);

HOST_TEST(bare_doorbell_and_spurious_interrupt)
{
    fresh();
    u32 calls = hook_calls;
    u64 spurious = count("msg_spurious"), saved = count("msg_rings_saved");
    smp_doorbell(4);
    smp_doorbell(4);
    HOST_CHECK(count("msg_rings_saved") == saved + 1, "the second is saved");
    HOST_CHECK(interrupt(4) && hook_calls == calls + 1 && ran_count == 0, "one drain, hooks only");
    HOST_CHECK(count("msg_spurious") == spurious, "it was rung for");
    struct msg m = numbered(MSG_ASYNC, 1);
    HOST_CHECK(msg_post(4, &m) == ERR_OK, "post");
    smp_doorbell(4);
    HOST_CHECK(interrupt(4) && ran_count == 1 && hook_calls == calls + 2 && !interrupt(4),
               "both by one interrupt");
    irr[4] = 1;
    HOST_CHECK(interrupt(4) && ran_count == 1 && count("msg_spurious") == spurious + 1,
               "an empty inbox is counted");
    HOST_CHECK(msg_post(4, &m) == ERR_OK && interrupt(4) && hook_calls == calls + 2, "no bell, no hooks");
    cpumask_t three = {.w = {1 << 1 | 1 << 2 | 1 << 4}};
    smp_doorbell_mask(&three);
    HOST_CHECK(interrupt(1) && interrupt(2) && interrupt(4) && !interrupt(3) && hook_calls == calls + 5,
               "a set is rung, and nobody else");
    HOST_CHECK_PANICS(smp_doorbell(0));
}

static struct msg handler_msg;
static err_t handler_result;
static bool handler_is_served; /* its message has even been run when the interrupted code goes on */
static void handler_posts(void)
{
    handler_result = msg_post(1, &handler_msg);
    if (handler_result == ERR_OK && event_countdown == 0 && handler_is_served)
        interrupt(1);
}

HOST_TEST(interrupt_between_look_and_claim)
{
    /* At each access of a post, a handler of the same CPU posts to the same receiver. Whoever loses gets FULL. */
    u32 both = 0, steps = 0;
    for (u32 i_at = 2; i_at < 80; i_at++, steps++) {
        u32 at = i_at / 2;
        fresh();
        handler_is_served = i_at % 2;
        struct msg m = numbered(MSG_ASYNC, 1000);
        HOST_CHECK(msg_send(1, &m) == ERR_OK && interrupt(1), "the line is open and free");
        ran_count = 0;
        handler_msg = numbered(MSG_ASYNC, 2000);
        handler_result = ERR_ABSENT;
        event = handler_posts;
        event_countdown = at;
        err_t e = msg_post(1, &m);
        if (event_countdown) /* the post is over before its `at`-th access */
            break;
        while (interrupt(1))
            ;
        u32 expected = (e == ERR_OK) + (handler_result == ERR_OK);
        HOST_CHECK(ran_count == expected && expected, "at %u: %u ran, thread %u, handler %u", at, ran_count,
                   e, handler_result);
        HOST_CHECK((e == ERR_OK || e == ERR_FULL) && (handler_result == ERR_OK || handler_result == ERR_FULL),
                   "at %u", at);
        for (u32 i = 0; i < ran_count; i++)
            HOST_CHECK(ran[i].word[5] == ran[i].word[0] + 5, "at %u: torn", at);
        both += expected == 2;
    }
    HOST_CHECK(steps >= 8 && both >= 1, "%u steps, %u times both", steps, both);
    event_countdown = 0;
}

HOST_TEST(same_cpu_opens_a_line_twice)
{
    /* The first use of a line, interrupted by the first use of the same line. */
    for (u32 at = 1; at < 40; at++) {
        fresh();
        struct msg m = numbered(MSG_ASYNC, 1000);
        handler_msg = numbered(MSG_ASYNC, 2000);
        handler_result = ERR_ABSENT;
        event = handler_posts;
        event_countdown = at;
        err_t e = msg_post(1, &m);
        bool over = event_countdown != 0;
        event_countdown = 0;
        while (interrupt(1))
            ;
        HOST_CHECK(ran_count == (u32)(e == ERR_OK) + (handler_result == ERR_OK) && ran_count, "at %u: %u ran",
                   at, ran_count);
        if (over)
            return;
    }
    HOST_CHECK(false, "a post takes less than 40 accesses");
}

HOST_TEST(absent_and_own_cpu)
{
    fresh();
    struct msg m = numbered(MSG_SYNC, 5);
    HOST_CHECK(msg_post(CPUS, &m) == ERR_ABSENT && msg_post(CPU_NONE, &m) == ERR_ABSENT, "no such CPU");
    HOST_CHECK(msg_send(77, &m) == ERR_ABSENT && msg_call(MAX_CPUS, &m) == ERR_ABSENT &&
                   msg_wait(99) == ERR_ABSENT,
               "nor here");
    cpumask_unset_atomic(&cpus_online, 5);
    HOST_CHECK(msg_post(5, &m) == ERR_ABSENT && msg_call(5, &m) == ERR_ABSENT && !irr[5], "offline");
    cpumask_t to = cpus(1 << 5), full;
    HOST_CHECK(msg_call_mask(&to, &m) == ERR_ABSENT, "in a set too");
    msg_post_mask(&to, &m, &full);
    HOST_CHECK(full.w[0] == 1 << 5 && ran_count == 0, "and told");
    cpumask_set_atomic(&cpus_online, 5);
    HOST_CHECK(msg_post(5, &m) == ERR_OK && interrupt(5) && ran_count == 1, "it came online later");
    HOST_CHECK_PANICS((void)!msg_post(0, &m));
    HOST_CHECK(msg_call(0, &m) == ERR_OK && ran_count == 2 && ran[1].on == 0 && ran[1].from == 0 && !irr[0],
               "calls itself");
    HOST_CHECK(irq_enabled(), "interrupts are back on");
    irq_disable();
    HOST_CHECK_PANICS((void)!msg_call(1, &m));
    irq_enable();
    interrupt(1);
}

static void everyone_answers(void)
{
    for (cpu_t c = 1; c < CPUS; c++)
        interrupt(c);
    event_countdown = 5; /* and again */
}

HOST_TEST(sets_are_rung_as_delivery_says)
{
    static const struct {
        enum msg_delivery d;
        u64 to;
        u32 rings;
    } cases[] = {
        {MSG_DELIVERY_UNICAST, 0x3e, 5}, {MSG_DELIVERY_SHORTHAND, 0x3e, 1}, {MSG_DELIVERY_AUTO, 0x3e, 1},
        {MSG_DELIVERY_CLUSTER, 0x3e, 3}, {MSG_DELIVERY_SHORTHAND, 0x1e, 4}, {MSG_DELIVERY_AUTO, 0x06, 1},
        {MSG_DELIVERY_CLUSTER, 0x0a, 2}, {MSG_DELIVERY_AUTO, 0, 0},         {MSG_DELIVERY_UNICAST, 0, 0},
        {MSG_DELIVERY_UNICAST, 0x02, 1}, {MSG_DELIVERY_AUTO, 0x3f & ~1, 1}, {MSG_DELIVERY_CLUSTER, 0x20, 1},
    };
    for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
        fresh();
        msg_delivery_set(cases[i].d);
        u64 icr = count("icr_writes");
        cpumask_t to = cpus(cases[i].to);
        struct msg m = numbered(MSG_SYNC, i);
        event = everyone_answers;
        event_countdown = 100;
        HOST_CHECK(msg_call_mask(&to, &m) == ERR_OK, "case %u", i);
        event_countdown = 0;
        u64 who = 0;
        for (u32 r = 0; r < ran_count; r++)
            who |= 1ull << ran[r].on;
        HOST_CHECK(who == cases[i].to && ran_count == cpumask_count(&to), "case %u: reached %lx", i, who);
        HOST_CHECK(count("icr_writes") - icr == cases[i].rings, "case %u: %lu ICR writes", i,
                   count("icr_writes") - icr);
        for (cpu_t c = 0; c < CPUS; c++)
            HOST_CHECK(!irr[c], "case %u: CPU %u has been disturbed", i, c);
    }
}

HOST_TEST(set_with_self_full_lines_and_saved_rings)
{
    fresh();
    struct msg a = numbered(MSG_SYNC, 1), b = numbered(MSG_SYNC, 50);
    HOST_CHECK(msg_post(2, &a) == ERR_OK, "CPU 2's line is full");
    on_cpu(4);
    HOST_CHECK(msg_post(3, &a) == ERR_OK, "CPU 3 has been rung by CPU 4");
    on_cpu(0);
    cpumask_t to = cpus(0x0e), full;
    u64 icr = count("icr_writes");
    msg_post_mask(&to, &b, &full);
    HOST_CHECK(full.w[0] == 4, "full: %lx", full.w[0]);
    HOST_CHECK(count("icr_writes") == icr + 1 && irr[1] && irr[2] && irr[3], "only CPU 1 needed a ring");
    for (cpu_t c = 1; c < CPUS; c++)
        interrupt(c);
    HOST_CHECK(ran_count == 4, "%u", ran_count);
    ran_count = 0;
    HOST_CHECK(msg_post(2, &a) == ERR_OK, "full again");
    to = cpus(0x3f);
    event = everyone_answers;
    event_countdown = 100;
    HOST_CHECK(msg_call_mask(&to, &b) == ERR_OK && ran_count == CPUS + 1, "everyone, self included: %u",
               ran_count);
    event_countdown = 0;
    HOST_CHECK_PANICS(msg_post_mask(&to, &b, &full));
}

HOST_TEST(nmi_class_has_words_of_its_own)
{
    fresh();
    struct msg m = numbered(MSG_NMI | MSG_ASYNC, 1), fixed = numbered(MSG_ASYNC, 2);
    on_cpu(2);
    HOST_CHECK(msg_post(1, &fixed) == ERR_OK && irr[1], "an ordinary message is pending");
    on_cpu(0);
    HOST_CHECK(msg_post(1, &m) == ERR_OK && nmi_latch[1], "the NMI is sent all the same");
    on_cpu(1);
    HOST_CHECK(msg_drain_nmi() && ran_count == 1 && ran[0].from == 0, "only the NMI's message runs");
    HOST_CHECK(!msg_drain_nmi(), "an NMI of somebody else's is told apart");
    on_cpu(0);
    HOST_CHECK(interrupt(1) && ran_count == 2, "then the ordinary one");
    cpumask_t all = cpus(0x3e), full;
    u64 icr = count("icr_writes");
    msg_post_mask(&all, &m, &full);
    HOST_CHECK(count("icr_writes") == icr + 5, "no shorthand for NMIs");
    for (cpu_t c = 1; c < CPUS; c++) {
        on_cpu(c);
        HOST_CHECK(msg_drain_nmi(), "CPU %u", c);
    }
    on_cpu(0);
}
