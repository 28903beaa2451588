/* What becomes of messages when threads end: senders, receivers, callers, those that are called. And that each sender's messages keep
 * their order, however many send. */
#include "user/lib/atomic.h"
#include "user/lib/check.h"
#include "user/lib/cpu.h"
#include "user/lib/print.h"
#include "user/lib/start.h"
#include "user/lib/thread.h"
#include "user/lib/workload.h"

#define SENDERS  3u
#define EACH     100u
#define CALLERS  3u
#define LIVES    12u
#define PATIENCE 5000000000ull /* ns; a hang detector */
/* Who waits without a limit gets his message another way (kernel/mailbox.c:give_directly): so every second time. */
#define PATIENCE_OF(i) ((i) % 2 ? PATIENCE : SYS_FOREVER)

static u64 cpus, first_cpu;

static u64 cpu_of(u64 i)
{
    return (first_cpu + i) % cpus;
}

/* ---- order ---- */

static u64 receiver_handle;

static s64 send_many(u64 number)
{
    for (u64 i = 0; i < EACH;) {
        struct sys_message m = {.thread = receiver_handle,
                                .word = {number, i, ~i, i * 3, number << 32 | i, 7}};
        s64 e = sys_send(&m);
        if (e == -SYS_ERR_FULL) {
            cpu_pause();
            sys_thread_yield();
        } else if (check(e == 0, "send %llu: %s", ULL(i), sys_error_name(e)))
            i++;
        else
            return 1;
        if (i % 30 == 29)
            sys_thread_move(0, cpu_of(i / 30 + number));
    }
    return 0;
}

static void test_order(void)
{
    struct thread t[SENDERS];
    u64 next[SENDERS] = {0};
    receiver_handle = sys_thread_self(NULL);
    for (u64 i = 0; i < SENDERS; i++)
        if (!check(thread_create(&t[i], send_many, i, cpu_of(i)) == 0, "no sender %llu", ULL(i)))
            return;
    for (u64 n = 0; n < SENDERS * EACH; n++) {
        struct sys_message m;
        s64 e = sys_receive(PATIENCE_OF(n), &m);
        if (!check(e == 0, "message %llu: %s", ULL(n), sys_error_name(e)))
            return;
        u64 from = m.word[0], i = m.word[1];
        if (!check(from < SENDERS && m.thread == t[from].handle, "a message of %llx, sender %llu",
                   ULL(m.thread), ULL(from)))
            return;
        check(i == next[from] && m.word[2] == ~i && m.word[3] == i * 3 && m.word[4] == (from << 32 | i) &&
                  m.word[5] == 7,
              "sender %llu: message %llu came as number %llu", ULL(from), ULL(i), ULL(next[from]));
        next[from]++;
        if (n % 50 == 49)
            sys_thread_move(0, cpu_of(n / 50)); /* under way messages follow */
    }
    for (u64 i = 0; i < SENDERS; i++)
        check(thread_join(&t[i], NULL) == 0, "sender %llu cannot be joined", ULL(i));
    struct sys_message m;
    check(sys_receive(0, &m) == -SYS_ERR_TIMEOUT, "a message more than were sent");
}

/* ---- time ---- */

static void test_time(void)
{
    struct sys_message m;
    u64 start = workload_ns();
    s64 e = sys_receive(3000000, &m);
    u64 took = workload_ns() - start;
    check(e == -SYS_ERR_TIMEOUT && took >= 3000000, "receive for 3 ms ended after %llu ns with %s", ULL(took),
          sys_error_name(e));
}

/* ---- the dead ---- */

static s64 end_at_once(u64 arg)
{
    return (s64)arg;
}

static void test_dead(void)
{
    struct thread t;
    struct sys_message m = {0};
    u64 self = sys_thread_self(NULL);
    if (!check(thread_create(&t, end_at_once, 5, cpu_of(1)) == 0, "no thread"))
        return;
    m.thread = t.handle;
    s64 status = 0;
    check(thread_join(&t, &status) == 0 && status == 5, "it ended with %lld", (long long)status);
    check(sys_send(&m) == -SYS_ERR_ABSENT, "a dead thread took a message");
    check(sys_call(&m) == -SYS_ERR_ABSENT, "a dead thread took a call");
    m.thread = t.handle;
    check(sys_reply(&m) == -SYS_ERR_ABSENT, "a dead thread took a reply");
    m.thread = self;
    check(sys_call(&m) == -SYS_ERR_INVAL, "a call to oneself");
    m.thread = self;
    check(sys_reply(&m) == -SYS_ERR_ABSENT, "a reply to who waits for none");
}

/* ---- who is sent to ends, in the middle of it ---- */

static u64 short_lived, flood_over;

static s64 take_some_and_end(u64 arg)
{
    struct sys_message m;
    for (u64 i = 0; i < arg; i++) {
        s64 e = sys_receive(PATIENCE_OF(arg - i - 1), &m);
        if (!check(e == 0 && m.word[5] == ~m.word[0], "message %llu of a flood: %s", ULL(i),
                   sys_error_name(e)))
            return 1;
    }
    return 0;
}

/* To whoever is there: what is accepted is delivered or goes with the receiver, what is not says why. */
static s64 flood(u64 number)
{
    u64 accepted = 0;
    for (u64 i = 0; !atomic_load_relaxed(&flood_over); i++) {
        u64 word = number << 32 | i;
        struct sys_message m = {.thread = atomic_load_relaxed(&short_lived),
                                .word = {word, 0, 0, 0, 0, ~word}};
        s64 e = sys_send(&m);
        if (e != 0 && e != -SYS_ERR_FULL && e != -SYS_ERR_ABSENT)
            return check(false, "a send to who ends: %s", sys_error_name(e));
        accepted += e == 0;
        if (e ||
            i % 4 ==
                0) { /* the receiver may be on this CPU, or on one whose turn an emulator has yet to give it */
            cpu_pause();
            sys_thread_yield();
        }
    }
    check(accepted > 0, "sender %llu was never heard", ULL(number));
    return 0;
}

static void test_flood(void)
{
    struct thread t, sender[SENDERS];
    flood_over = short_lived = 0;
    for (u64 i = 0; i < SENDERS; i++)
        check(thread_create(&sender[i], flood, i, cpu_of(i)) == 0, "no sender %llu", ULL(i));
    for (u64 life = 0; life < LIVES; life++) {
        s64 status = 1;
        if (!check(thread_create(&t, take_some_and_end, life % 20 + 10, cpu_of(life)) == 0,
                   "no receiver %llu", ULL(life)))
            break;
        atomic_store_relaxed(&short_lived, t.handle);
        check(thread_join(&t, &status) == 0 && status == 0, "receiver %llu", ULL(life));
    }
    atomic_store_relaxed(&flood_over, 1);
    for (u64 i = 0; i < SENDERS; i++)
        check(thread_join(&sender[i], NULL) == 0, "sender %llu cannot be joined", ULL(i));
}

/* ---- who is called ends ---- */

static u64 called, calls_ended;

static s64 take_calls_and_end(u64 arg)
{
    struct sys_message m;
    for (u64 i = 0; i < arg; i++)
        check(sys_receive(SYS_FOREVER, &m) == 0, "call %llu did not come", ULL(i));
    return 0; /* without a reply */
}

static s64 call_once(u64 arg)
{
    struct sys_message m = {.thread = atomic_load_relaxed(&called), .word = {arg}};
    s64 e = sys_call(&m);
    check(e == -SYS_ERR_ABSENT, "a call to a thread that ends: %s", sys_error_name(e));
    atomic_fetch_add(&calls_ended, 1);
    return 0;
}

static void test_callee_ends(void)
{
    struct thread callee, caller[CALLERS];
    calls_ended = 0;
    if (!check(thread_create(&callee, take_calls_and_end, CALLERS, cpu_of(1)) == 0, "no thread"))
        return;
    atomic_store_relaxed(&called, callee.handle);
    for (u64 i = 0; i < CALLERS; i++)
        check(thread_create(&caller[i], call_once, i, cpu_of(i)) == 0, "no caller %llu", ULL(i));
    check(thread_join(&callee, NULL) == 0, "the called one does not end");
    /* Callers still refer to it until they have run. Were a second join to keep it, this process would never be gone. */
    s64 e = sys_thread_join(callee.handle, NULL);
    check(e == -SYS_ERR_ABSENT, "it can be joined twice: %s", sys_error_name(e));
    for (u64 i = 0; i < CALLERS; i++)
        check(thread_join(&caller[i], NULL) == 0, "caller %llu does not end", ULL(i));
    check(calls_ended == CALLERS, "%llu of %u calls ended", ULL(calls_ended), CALLERS);
}

/* ---- who calls is killed ---- */

static s64 call_and_wait(u64 to)
{
    struct sys_message m = {.thread = to};
    sys_call(&m);
    return 0;
}

/* In a copy of this process: one thread calls the parent, another ends the copy when it is told to. */
static s64 child(u64 parent)
{
    struct thread t;
    struct sys_message m;
    if (thread_create(&t, call_and_wait, parent, cpu_of(2)) == 0)
        sys_receive(SYS_FOREVER, &m);
    sys_process_exit(0);
}

static void test_caller_killed(void)
{
    struct thread t;
    struct sys_message m;
    if (!check(thread_clone(&t, child, sys_thread_self(NULL), cpu_of(1)) == 0, "no copy"))
        return;
    s64 e = sys_receive(PATIENCE, &m);
    if (!check(e == 0, "the copy's call does not come: %s", sys_error_name(e)))
        return;
    /* It waits for us, until its process ends. */
    check(sys_send(&(struct sys_message){.thread = t.handle}) == 0, "the copy cannot be told to end");
    for (u64 end = workload_ns() + PATIENCE; (e = sys_send(&m)) != -SYS_ERR_ABSENT && workload_ns() < end;)
        sys_thread_sleep(1000000);
    check(e == -SYS_ERR_ABSENT, "who waited in a call and was killed still takes messages: %s",
          sys_error_name(e));
    check(sys_reply(&m) == -SYS_ERR_ABSENT, "and a reply");
}

/* For a test of the kernel: a message whose first word is not 0 keeps it busy, and what else is to run on its CPU runs beside it. */
static s64 only_wait(struct workload *w)
{
    while (!workload_stopped(w)) {
        struct sys_message m;
        if (!check(sys_receive(SYS_FOREVER, &m) == 0, "nothing came"))
            break;
        atomic_fetch_add(&w->served, 1);
        while (m.word[0] && !workload_stopped(w))
            cpu_pause();
    }
    return check_end();
}

static s64 run_on(u64 arg)
{
    struct workload *w = workload_of(arg);
    atomic_fetch_add(&w->served, 1);
    while (!workload_stopped(w))
        cpu_pause();
    sys_process_exit(check_end());
}

/* For a test of the kernel: the first thread ends while another runs on another CPU. */
static s64 leave_one(struct workload *w, u64 arg)
{
    static struct thread t;
    if (!check(thread_create(&t, run_on, arg, cpu_of(1)) == 0, "no thread"))
        return check_end();
    while (atomic_load_relaxed(&w->served) == 0)
        cpu_pause();
    sys_thread_exit(0);
}

s64 program(u64 arg)
{
    struct workload *w = workload_of(arg);
    check_begin(w);
    if (w && w->op == WORKLOAD_MAIL_WAITS)
        return only_wait(w);
    cpus = (u64)sys_cpus(0, NULL);
    sys_thread_self(&first_cpu);
    if (w && w->op == WORKLOAD_MAIL_LEAVES)
        return leave_one(w, arg);
    u64 laps = workload_count(w, arg, 2);
    for (u64 i = 0; i < laps && !workload_stopped(w); i++) {
        test_order();
        test_time();
        test_dead();
        test_flood();
        test_callee_ends();
        test_caller_killed();
    }
    return check_end();
}
