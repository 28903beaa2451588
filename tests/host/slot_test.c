/* Messages under ThreadSanitizer: threads as CPUs, all to all, interrupts at every access to shared memory. Each
 * message must run exactly once, in order for each pair and stream, with a payload that is whole, and be acknowledged
 * when its kind says so. Lines and results are accessed plainly on purpose: the sanitizer proves that the protocol
 * orders them.
 *
 *     sources: smp/message.c smp/deliver.c smp/send.c smp/drain.c smp/wait.c smp/cpus.c lib/wait.c
 *     sanitize: thread
 */
#include "tests/host/host.h"

#include <pthread.h>
#include <sched.h>

#include "tests/host/message_machine.h"

#define CPUS 4u
#define OPS  40000u /* for each CPU: about three seconds in all under the sanitizer, on two cores */

/* Streams between a pair: from threads, and from handlers that cut in between a thread's look and its claim. */
enum stream { FROM_THREAD, FROM_HANDLER, STREAMS };

/* Each thread's own; a sender's next number and a receiver's last one are never touched by the other side. */
static struct cpu_state {
    u64 sent[CPUS][STREAMS], got[CPUS][STREAMS];
    u64 answer
        [CPUS]; /* written plainly by a synchronous function of that CPU, read after the acknowledgement */
    u64 random, full, handler_posts, accesses;
    bool in_handler;
} CACHE_ALIGNED state[CPUS];
static u32 threads_done, bad;

static u64 next_random(struct cpu_state *me)
{
    me->random ^= me->random << 13;
    me->random ^= me->random >> 7;
    me->random ^= me->random << 17;
    return me->random;
}

static u64 mix(u64 a, u64 b)
{
    return (a * 0x9e3779b97f4a7c15ull) ^ (b + 0x517cc1b727220a95ull);
}

/* Every access through lib/atomic.h: a pending interrupt is taken here, and sometimes another thread runs. */
void host_sim_point(const volatile void *p)
{
    (void)p;
    struct cpu_state *me = &state[host_cpu()];
    if (++me->accesses % 64 == 0) /* more threads than cores: whoever waits gives way */
        sched_yield();
    if (!irq_enabled() || me->in_handler || !__atomic_load_n(&irr[host_cpu()], __ATOMIC_RELAXED))
        return;
    me->in_handler = true;
    irq_disable();
    if (__atomic_exchange_n(&irr[host_cpu()], 0, __ATOMIC_ACQUIRE))
        msg_drain();
    irq_enable();
    me->in_handler = false;
}

static void fail(void)
{
    __atomic_fetch_add(&bad, 1, __ATOMIC_RELAXED);
}

static bool whole(const u64 *w, cpu_t from, cpu_t to)
{
    return w[2] == mix(w[0], w[1]) && w[3] == mix(w[2], from) && w[4] == mix(w[3], to) &&
           w[5] == mix(w[4], w[0]);
}

static struct msg make(const struct msg_kind *kind, u32 flags, u64 number, enum stream stream, cpu_t to)
{
    struct msg m = {.kind = kind, .flags = flags, .word = {number, stream}};
    m.word[2] = mix(m.word[0], m.word[1]);
    m.word[3] = mix(m.word[2], host_cpu());
    m.word[4] = mix(m.word[3], to);
    m.word[5] = mix(m.word[4], m.word[0]);
    return m;
}

static void receive(struct msg_in *in);
static void receive_early(struct msg_in *in);
MSG_KIND(plain_kind, receive);
MSG_KIND(early_kind, receive_early);

static void check(struct msg_in *in)
{
    struct cpu_state *me = &state[host_cpu()];
    if (!whole(in->word, in->from, host_cpu()) || in->word[1] >= STREAMS)
        fail();
    else if (in->word[0] != ++me->got[in->from][in->word[1]])
        fail();
}

/* Posts on, in IPI context, to a CPU that the interrupted thread may just be posting to. */
static void post_from_handler(void)
{
    struct cpu_state *me = &state[host_cpu()];
    cpu_t to = (host_cpu() + 1 + next_random(me) % (CPUS - 1)) % CPUS;
    struct msg m = make(&plain_kind, MSG_ASYNC, me->sent[to][FROM_HANDLER] + 1, FROM_HANDLER, to);
    err_t e = msg_post(to, &m);
    if (e == ERR_OK) {
        me->sent[to][FROM_HANDLER]++;
        me->handler_posts++;
    } else if (e != ERR_FULL) {
        fail();
    }
}

static void receive(struct msg_in *in)
{
    check(in);
    if (in->word == in->slot->body.word) /* in place: synchronous */
        state[in->from].answer[host_cpu()] = in->word[0];
    else if (in->word[1] == FROM_THREAD && in->word[0] % 3 == 0)
        post_from_handler();
}

/* Asynchronous: lets the sender overwrite its line, then reads. Else reads, acknowledges, and goes on. */
static void receive_early(struct msg_in *in)
{
    if (in->acked)
        sched_yield();
    check(in);
    msg_ack(in);
    sched_yield();
}

static void one_operation(cpu_t self, struct cpu_state *me)
{
    u64 r = next_random(me);
    cpu_t to = (self + 1 + r % (CPUS - 1)) % CPUS;
    u64 *sent = &me->sent[to][FROM_THREAD];
    u32 how = r >> 8 & 7;
    struct msg m;
    switch (how) {
    case 0: /* synchronous call: the function's plain store must be visible afterwards */
    case 1:
        m = make(&plain_kind, MSG_SYNC, ++*sent, FROM_THREAD, to);
        if (msg_call(to, &m) != ERR_OK || me->answer[to] != *sent)
            fail();
        break;
    case 2: { /* post, which may find the line full */
        m = make(&plain_kind, MSG_ASYNC, *sent + 1, FROM_THREAD, to);
        err_t e = msg_post(to, &m);
        if (e == ERR_OK)
            ++*sent;
        else if (e == ERR_FULL)
            me->full++;
        else
            fail();
        break;
    }
    case 3:
        m = make(&early_kind, MSG_OWN_ACK, ++*sent, FROM_THREAD, to);
        if (msg_call(to, &m) != ERR_OK)
            fail();
        break;
    case 4: { /* the bare doorbell among them */
        smp_doorbell(to);
        break;
    }
    default:
        m = make(r >> 16 & 1 ? &plain_kind : &early_kind, r >> 16 & 1 ? MSG_ASYNC : MSG_OWN_ACK, ++*sent,
                 FROM_THREAD, to);
        if (msg_send(to, &m) != ERR_OK)
            fail();
    }
}

static void *cpu_thread(void *arg)
{
    cpu_t self = (cpu_t)(uintptr_t)arg;
    struct cpu_state *me = &state[self];
    host_cpu_index = self;
    me->random = 0x1234567 + self * 77777ull;
    for (u32 i = 0; i < OPS; i++)
        one_operation(self, me);
    cpumask_t others = {0};
    for (cpu_t c = 0; c < CPUS; c++)
        if (c != self)
            cpumask_set(&others, c);
    if (msg_wait_mask(&others) != ERR_OK)
        fail();
    atomic_fetch_add(&threads_done, 1);
    while (atomic_load_acquire(&threads_done) != CPUS) /* serves interrupts */
        sched_yield();
    return NULL;
}

HOST_TEST(all_to_all_from_threads_and_handlers)
{
    machine_init(CPUS);
    pthread_t thread[CPUS];
    for (uintptr_t c = 0; c < CPUS; c++)
        if (pthread_create(&thread[c], NULL, cpu_thread, (void *)c))
            abort();
    for (u32 c = 0; c < CPUS; c++)
        pthread_join(thread[c], NULL);
    /* What handlers posted to each other at the very end is still in the inboxes; draining may post once more. */
    for (u32 round = 0; round < 8; round++)
        for (cpu_t c = 0; c < CPUS; c++) {
            host_cpu_index = c;
            host_sim_point(NULL);
        }
    HOST_CHECK(bad == 0, "%u wrong messages", bad);
    u64 full = 0, handler_posts = 0;
    for (cpu_t from = 0; from < CPUS; from++) {
        full += state[from].full;
        handler_posts += state[from].handler_posts;
        for (cpu_t to = 0; to < CPUS; to++)
            for (u32 s = 0; s < STREAMS; s++)
                HOST_CHECK(state[from].sent[to][s] == state[to].got[from][s],
                           "%u to %u, stream %u: sent %lu, ran %lu", from, to, s, state[from].sent[to][s],
                           state[to].got[from][s]);
    }
    HOST_CHECK(full > 0, "no post ever found a full line: the test does not press hard enough");
    HOST_CHECK(handler_posts > 0, "no handler ever posted");
    HOST_CHECK(counter_sum(counter_find("msg_rings_saved")) > 0, "no ring was ever saved");
    printf("    %lu full, %lu from handlers\n", full, handler_posts);
}

u64 counter_sum(const struct counter *c)
{
    u64 sum = 0;
    for (u32 i = 0; i < HOST_CPUS; i++)
        sum += c->percpu[i];
    return sum;
}

const struct counter *counter_find(const char *name)
{
    TABLE_FOREACH (counter, struct counter, c)
        if (strcmp(c->name, name) == 0)
            return c;
    return NULL;
}
