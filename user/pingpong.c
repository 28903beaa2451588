/* Messages between two threads on different CPUs: calls with replies, each word of which is looked at, and asynchronous sends until
 * the mailbox is full. */
#include "user/lib/atomic.h"
#include "user/lib/check.h"
#include "user/lib/cpu.h"
#include "user/lib/print.h"
#include "user/lib/start.h"
#include "user/lib/thread.h"
#include "user/lib/workload.h"

#define CALLS_USUAL   2000u
#define SENDS_AT_MOST 100000u /* no mailbox is that large */
#define REPLY_ADDS    0x1000000000000001ull
#define PATIENCE      5000000000ull /* ns; a hang detector */

enum { WORD_KIND = 0, KIND_CALL = 1, KIND_END = 2, KIND_SEND = 3, KIND_HOLD = 4 };

static u64 hold; /* while not 0, the other side leaves its mailbox alone after a KIND_HOLD */

/* Six words that differ from each other and from call to call. */
static void fill(struct sys_message *m, u64 kind, u64 n)
{
    m->word[WORD_KIND] = kind;
    for (u64 i = 1; i < ARRAY_SIZE(m->word); i++)
        m->word[i] =
            n * 0x9e3779b97f4a7c15ull + i; /* Weyl's sequence by the golden ratio: all bits are used */
}

static bool holds(const struct sys_message *m, u64 kind, u64 n, u64 added)
{
    struct sys_message expected;
    fill(&expected, kind, n);
    bool same = m->word[WORD_KIND] == kind;
    for (u64 i = 1; i < ARRAY_SIZE(m->word); i++)
        same = same && m->word[i] == expected.word[i] + added;
    return same;
}

/* The other side: replies to calls until it is told to end; counts what was only sent. */
static s64 answer(u64 caller)
{
    u64 calls = 0, sends = 0;
    for (;;) {
        struct sys_message m = {0};
        /* Who waits without a limit gets his message another way (kernel/mailbox.c:give_directly). */
        s64 e = sys_receive(calls % 4 ? SYS_FOREVER : PATIENCE, &m);
        if (!check(e == 0, "nothing came: %s", sys_error_name(e)))
            return -1;
        check(m.thread == caller, "a message is from %llx, not from %llx", ULL(m.thread), ULL(caller));
        if (m.word[WORD_KIND] == KIND_SEND) {
            check(holds(&m, KIND_SEND, sends, 0), "message %llu came out of turn, or changed", ULL(sends));
            sends++;
            continue;
        }
        u64 kind = m.word[WORD_KIND];
        check(kind != KIND_CALL || holds(&m, KIND_CALL, calls, 0), "call %llu came changed", ULL(calls));
        calls++;
        for (u64 i = 1; i < ARRAY_SIZE(m.word); i++)
            m.word[i] += REPLY_ADDS;
        e = sys_reply(&m);
        check(e == 0, "the reply failed: %s", sys_error_name(e));
        if (kind == KIND_END)
            return (s64)sends;
        while (kind == KIND_HOLD && atomic_load_relaxed(&hold)) {
            sys_thread_yield(); /* for the other side, if it is on this CPU */
            cpu_pause();
        }
    }
}

static void call_often(u64 peer, u64 calls, const struct workload *w)
{
    u64 ticks = 0, done = 0;
    for (; done < calls && !workload_stopped(w); done++) {
        struct sys_message m = {.thread = peer};
        fill(&m, KIND_CALL, done);
        u64 begin = rdtsc_ordered();
        s64 e = sys_call(&m);
        ticks += rdtsc_ordered() - begin;
        if (!check(e == 0, "call %llu failed: %s", ULL(done), sys_error_name(e)))
            return;
        check(m.thread == peer && holds(&m, KIND_CALL, done, REPLY_ADDS),
              "the reply to call %llu is another's", ULL(done));
    }
    say("%llu calls and replies, %llu ticks each", ULL(done), ULL(done ? ticks / done : 0));
}

static s64 call_of_kind(u64 peer, u64 kind)
{
    struct sys_message m = {.thread = peer};
    fill(&m, kind, 0);
    return sys_call(&m);
}

/* As many as fit while the other is not looking. */
static u64 send_until_full(u64 peer)
{
    atomic_store_relaxed(&hold, 1);
    s64 e = call_of_kind(peer, KIND_HOLD);
    check(e == 0, "the other side cannot be held: %s", sys_error_name(e));
    u64 n = 0;
    for (; e == 0 && n < SENDS_AT_MOST; n += e == 0) {
        struct sys_message m = {.thread = peer};
        fill(&m, KIND_SEND, n);
        e = sys_send(&m);
    }
    check(e == -SYS_ERR_FULL, "send %llu ended with %s, not with full", ULL(n), sys_error_name(e));
    check(n > 0, "not one message could be sent");
    atomic_store_relaxed(&hold, 0);
    return n;
}

static bool end(u64 peer)
{
    s64 e;
    while ((e = call_of_kind(peer, KIND_END)) == -SYS_ERR_FULL) {
        sys_thread_yield();
        cpu_pause();
    }
    return check(e == 0, "the last call failed: %s", sys_error_name(e));
}

s64 program(u64 arg)
{
    struct workload *w = workload_of(arg);
    struct thread peer;
    u64 calls = workload_count(w, arg, CALLS_USUAL), cpu, cpus = (u64)sys_cpus(0, NULL);
    check_begin(w);
    u64 self = sys_thread_self(&cpu);
    s64 e = thread_create(&peer, answer, self, (cpu + 1) % cpus);
    if (!check(e == 0, "no second thread: %s", sys_error_name(e)))
        return check_end();

    call_often(peer.handle, calls, w);
    u64 sent = send_until_full(peer.handle);
    if (end(peer.handle)) {
        s64 received = -1;
        e = thread_join(&peer, &received);
        check(e == 0 && received == (s64)sent, "%lld messages were received of %llu sent (%s)",
              (long long)received, ULL(sent), sys_error_name(e));
    }
    say("%llu messages sent without waiting", ULL(sent));
    return check_end();
}
