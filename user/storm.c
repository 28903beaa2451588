/* The ring-3 side of the self test `storm`: six threads that change their address space, move, take faults, send and receive, start and
 * join others, copy the process; until the kernel says stop, or kills them wherever they are. On its own it does nothing.
 *
 * As in the kernel's part (tests/storm_actor.c) each owner of a range knows what must be in each of its pages, because nobody else changes
 * them: a translation that outlives its page leaves or finds a word that should not be there. KEPT pages always stay mapped, and are read
 * by all threads, by the rule of user/churn.c. */
#include "kernel/abi/storm.h"

#include "user/lib/atomic.h"
#include "user/lib/check.h"
#include "user/lib/cpu.h"
#include "user/lib/print.h"
#include "user/lib/start.h"
#include "user/lib/thread.h"

#define KEPT     8u                /* at the beginning of a range: always there */
#define PAGES    24u               /* of a range */
#define AREA     0x300000000000ull /* where nothing else maps */
#define RANGE    (64 * SYS_PAGE)
#define MAPPERS  2u /* threads with a range; the first ones after the parent */
#define FAULTS   16u
#define PATIENCE 2000000ull /* ns: a receiver that does not wait for ever */

enum role { PARENT, MAPPER, MAPPER_2, RECEIVER, CALLER, FAULTER };
enum { KIND_SEND = 1, KIND_CALL, KIND_END, KIND_WRONG };
enum state { UNMAPPED, READ_ONLY, WRITABLE };

static struct storm_share *share;
static u64 cpus;

struct self {
    u64 index, random, words;
};

/* What the owner of a range knows. `gone`: rounds on its kept pages that have been discarded. */
static struct range {
    u64 gone __attribute__((aligned(64)));
    u64 round;
    u8 state[PAGES];
    u64 value[PAGES];
} ranges[MAPPERS];

/* xorshift*, as tests/storm_actor.c. */
static u64 rnd(struct self *me, u64 n)
{
    me->random ^= me->random >> 12;
    me->random ^= me->random << 25;
    me->random ^= me->random >> 27;
    return (me->random * 0x2545f4914f6cdd1dull >> 11) % n;
}

static struct self self_begin(u64 index)
{
    return (struct self){.index = index, .random = (share->seed ^ (index + 1) * 0x9e3779b97f4a7c15ull) | 1};
}

static bool stopped(void)
{
    return atomic_load_relaxed(&share->stop);
}

static void phase(const struct self *me, enum storm_phase p)
{
    atomic_store_relaxed(&share->thread[me->index].phase, p);
}
static void count(const struct self *me, enum storm_kind kind)
{
    u64 *n = &share->thread[me->index].done[kind];
    atomic_store_relaxed(n, *n + 1);
}

/* The result of a call that may find no room, but nothing else. */
static bool expect(const struct self *me, enum storm_kind kind, s64 e, const char *what, s64 expected)
{
    phase(me, STORM_PHASE_RUN);
    if (e == -SYS_ERR_NOMEM || e == -SYS_ERR_FULL)
        return false;
    if (e == 0)
        count(me, kind);
    return check(e == expected, "%s: %lld (%s), expected %lld", what, (long long)e, sys_error_name(e),
                 (long long)expected) &&
           e == 0;
}

/* ---- ranges ---- */

static u64 page_of(u64 range, u64 page)
{
    return AREA + range * RANGE + page * SYS_PAGE;
}

static void touch(const struct self *me, u64 va, u64 word)
{
    phase(me, STORM_PHASE_FAULT);
    touch_write(va, word);
    phase(me, STORM_PHASE_RUN);
}

static bool all(const struct range *r, u64 first, u64 n, bool mapped)
{
    for (u64 i = first; i < first + n; i++)
        if ((r->state[i] != UNMAPPED) != mapped)
            return false;
    return true;
}

static void set_all(struct range *r, u64 first, u64 n, enum state state)
{
    for (u64 i = first; i < first + n; i++) {
        if (state == UNMAPPED || r->state[i] == UNMAPPED)
            r->value[i] = 0;
        r->state[i] = (u8)state;
    }
}

static void look(const struct range *r, u64 number, u64 page)
{
    u64 found = r->state[page] == UNMAPPED ? 0 : touch_read(page_of(number, page));
    check(found == r->value[page], "page %llu of range %llu holds %llx, not %llx", ULL(page), ULL(number),
          ULL(found), ULL(r->value[page]));
}

static s64 crash(u64 va)
{
    return (s64)touch_read(va) + 1;
}

/* Another thread, on any CPU, touches a page that has just gone. */
static void touch_what_is_gone(struct self *me, u64 va)
{
    struct thread t;
    s64 status = 0;
    count(me, STORM_CRASH); /* before it can be seen to have happened */
    if (thread_create(&t, crash, va, rnd(me, cpus)) == 0 && thread_join(&t, &status) == 0)
        check(status == SYS_STATUS_FAULT || status == SYS_STATUS_KILLED,
              "an unmapped page was read, and held %llx", ULL(status - 1));
}

static void move_pages(struct self *me, struct range *r, u64 number, u64 first, u64 n)
{
    u64 to = KEPT + rnd(me, PAGES - KEPT - n + 1);
    if (!all(r, first, n, true) || !all(r, to, n, false))
        return;
    for (u64 i = 1; i < n; i++)
        if (r->state[first + i] != r->state[first])
            return; /* not of one region */
    phase(me, STORM_PHASE_SYSCALL);
    s64 e = sys_remap(page_of(number, first), n * SYS_PAGE, page_of(number, to));
    bool split = e == -SYS_ERR_ABSENT &&
                 n > 1; /* a part of it was mapped before a copy was made, and the rest after it */
    if (!expect(me, STORM_REMAP, e, "remap", split ? e : 0))
        return;
    for (u64 i = 0; i < n; i++) {
        r->state[to + i] = r->state[first + i];
        r->value[to + i] = r->value[first + i];
        r->state[first + i] = UNMAPPED;
        r->value[first + i] = 0;
    }
}

static void harvest(struct self *me, const struct range *r, u64 number, u64 first, u64 n)
{
    u8 bits[PAGES];
    phase(me, STORM_PHASE_SYSCALL);
    s64 e = sys_harvest(page_of(number, first), n * SYS_PAGE, bits);
    bool done = expect(me, STORM_HARVEST, e, "harvest", all(r, first, n, true) ? 0 : -SYS_ERR_ABSENT);
    if (!done || r->state[first] != WRITABLE)
        return;
    /* A write through an entry that is still marked dirty here would go unseen. */
    touch_write(page_of(number, first), r->value[first]);
    if (sys_harvest(page_of(number, first), SYS_PAGE, bits) == 0)
        check(bits[0] == (SYS_PAGE_PRESENT | SYS_PAGE_ACCESSED | SYS_PAGE_DIRTY),
              "a page that was written has the bits %x", bits[0]);
}

static void change(struct self *me, struct range *r, u64 number)
{
    u64 first = KEPT + rnd(me, PAGES - KEPT), n = 1 + rnd(me, MIN(PAGES - first, 5u));
    u64 va = page_of(number, first), rights = rnd(me, 3) ? SYS_MAP_WRITE : SYS_MAP_READ;
    enum state state = rights ? WRITABLE : READ_ONLY;
    bool mapped = all(r, first, n, true);
    phase(me, STORM_PHASE_SYSCALL);
    switch (rnd(me, 8)) {
    case 0:
    case 1:
    case 2: {
        s64 e = sys_map(va, n * SYS_PAGE, rights | SYS_MAP_FIXED | (rnd(me, 2) ? SYS_MAP_NOW : 0));
        if (expect(me, STORM_MAP, e == (s64)va ? 0 : e, "map", all(r, first, n, false) ? 0 : -SYS_ERR_EXIST))
            set_all(r, first, n, state);
        break;
    }
    case 3:
        if (!expect(me, STORM_UNMAP, sys_unmap(va, n * SYS_PAGE), "unmap", 0))
            break;
        set_all(r, first, n, UNMAPPED);
        if (!rnd(me, 16))
            touch_what_is_gone(me, va);
        break;
    case 4:
        if (expect(me, STORM_PROTECT, sys_protect(va, n * SYS_PAGE, rights), "protect",
                   mapped ? 0 : -SYS_ERR_ABSENT))
            set_all(r, first, n, state);
        break;
    case 5:
        if (expect(me, STORM_DISCARD, sys_discard(va, n * SYS_PAGE), "discard", mapped ? 0 : -SYS_ERR_ABSENT))
            for (u64 i = first; i < first + n; i++)
                r->value[i] = 0;
        break;
    case 6:
        move_pages(me, r, number, first, n);
        break;
    default:
        harvest(me, r, number, first, n);
        break;
    }
    phase(me, STORM_PHASE_RUN);
}

static void write_one(struct self *me, struct range *r, u64 number)
{
    u64 page = KEPT + rnd(me, PAGES - KEPT);
    if (r->state[page] != WRITABLE)
        return;
    u64 word = share->seed << 24 ^ me->index << 60 ^ ++me->words;
    touch(me, page_of(number, page), word);
    r->value[page] = word;
}

/* Round n puts n into each kept page, and discards them. */
static void next_round(struct self *me, struct range *r, u64 number)
{
    u64 round = ++r->round;
    for (u64 i = 0; i < KEPT; i++)
        touch(me, page_of(number, i), round);
    phase(me, STORM_PHASE_SYSCALL);
    if (!expect(me, STORM_DISCARD, sys_discard(page_of(number, 0), KEPT * SYS_PAGE), "discard", 0))
        return;
    /* orders: the end of the discard before its number; pairs with: user/storm.c:look_at_kept (acquire); else: a reader could blame
     * a page that was still there. */
    atomic_store_release(&r->gone, round);
}

static void look_at_kept(void)
{
    for (u64 number = 0; number < MAPPERS; number++)
        for (u64 i = 0; i < KEPT; i++) {
            /* orders: this look before the page's; pairs with: user/storm.c:next_round (release); else: a page of a later round could
             * be taken for a stale one. */
            u64 gone = atomic_load_acquire(&ranges[number].gone), found = touch_read(page_of(number, i));
            check(found == 0 || found > gone, "kept page %llu of range %llu holds %llx after round %llu",
                  ULL(i), ULL(number), ULL(found), ULL(gone));
        }
}

static void wander(struct self *me)
{
    if (rnd(me, 6))
        return;
    s64 e = sys_thread_move(0, rnd(me, cpus));
    check(e == 0 || e == -SYS_ERR_ABSENT, "move: %s", sys_error_name(e)); /* absent: parked */
    if (e == 0)
        count(me, STORM_MIGRATE);
    if (!share->stay)
        sys_thread_move(0, SYS_ANY_CPU); /* pinned threads would keep their CPU from being parked */
}

static void map_on(struct self *me)
{
    u64 number = me->index - MAPPER;
    struct range *r = &ranges[number];
    while (!stopped()) {
        write_one(me, r, number);
        change(me, r, number);
        look(r, number, KEPT + rnd(me, PAGES - KEPT));
        look_at_kept();
        if (!rnd(me, 4))
            next_round(me, r, number);
        wander(me);
        cpu_pause();
    }
}

/* ---- messages ---- */

static void fill(struct sys_message *m, u64 kind, u64 n)
{
    m->word[0] = kind;
    for (u64 i = 1; i < ARRAY_SIZE(m->word); i++)
        m->word[i] = n * (2 * i + 1) + i;
}
static bool is_whole(const struct sys_message *m)
{
    struct sys_message expected;
    fill(&expected, m->word[0], m->word[1] / 3);
    for (u64 i = 1; i < ARRAY_SIZE(m->word); i++)
        if (m->word[i] != expected.word[i])
            return false;
    return true;
}

static void receive_on(struct self *me)
{
    for (;;) {
        struct sys_message m;
        phase(me, STORM_PHASE_RECEIVE);
        s64 e = sys_receive(rnd(me, 2) ? SYS_FOREVER : PATIENCE, &m);
        phase(me, STORM_PHASE_RUN);
        if (e == -SYS_ERR_TIMEOUT)
            continue;
        if (!check(e == 0, "receive: %s", sys_error_name(e)))
            return;
        count(me, STORM_RECEIVE);
        check(is_whole(&m), "a message of kind %llu, %llx, has changed on its way", ULL(m.word[0]),
              ULL(m.word[1]));
        check(m.word[0] != KIND_WRONG, "a copy of the process found a page that is not as it was: %llu",
              ULL(m.word[1] / 3));
        if (m.word[0] == KIND_END) {
            sys_thread_sleep(10 * PATIENCE); /* whoever calls meanwhile waits, and hears of our end */
            return;
        }
        if (m.word[0] == KIND_CALL && !rnd(me, 2))
            sys_thread_sleep(PATIENCE); /* the caller waits, and may be killed meanwhile */
        if (m.word[0] == KIND_CALL)
            sys_reply(&m);
        wander(me);
    }
}

static void call_on(struct self *me)
{
    while (!stopped()) {
        u64 peer = atomic_load_relaxed(&share->peer[rnd(me, STORM_PEERS)]), n = rnd(me, 1u << 20);
        struct sys_message m = {.thread = peer};
        bool call = rnd(me, 2);
        look_at_kept();
        wander(me);
        if (!peer) {
            sys_thread_yield();
            continue;
        }
        fill(&m, call ? KIND_CALL : KIND_SEND, n);
        phase(me, call ? STORM_PHASE_CALL : STORM_PHASE_RUN);
        s64 e = call ? sys_call(&m) : sys_send(&m);
        phase(me, STORM_PHASE_RUN);
        if (e == 0)
            count(me, call ? STORM_CALL : STORM_SEND);
        else if (check(e == -SYS_ERR_ABSENT || e == -SYS_ERR_FULL, "%s: %s", call ? "call" : "send",
                       sys_error_name(e)) &&
                 e == -SYS_ERR_ABSENT)
            count(me, STORM_TO_DEAD);
        if (e == 0 && call)
            check(m.thread == peer && m.word[1] / 3 == n && is_whole(&m), "the reply to %llx is %llx", ULL(n),
                  ULL(m.word[1]));
        cpu_pause();
    }
}

static void fault_on(struct self *me)
{
    s64 at = sys_map(0, FAULTS * SYS_PAGE, SYS_MAP_WRITE);
    if (at < 0)
        return;
    while (!stopped()) {
        phase(me, STORM_PHASE_FAULT); /* one after the other */
        for (u64 i = 0; i < FAULTS; i++) {
            u64 found = touch_read((u64)at + i * SYS_PAGE);
            count(me, STORM_FAULT);
            check(found == 0, "a fresh page holds %llx", ULL(found));
            touch_write((u64)at + i * SYS_PAGE, i + 1);
        }
        phase(me, STORM_PHASE_SYSCALL);
        expect(me, STORM_DISCARD, sys_discard((u64)at, FAULTS * SYS_PAGE), "discard", 0);
        look_at_kept();
        wander(me);
        cpu_pause();
    }
}

static u64 copied; /* written before a copy is made */

static s64 thread_main(u64 arg)
{
    return (s64)arg;
}

static void start_and_join(struct self *me)
{
    struct thread t;
    u64 n = rnd(me, 1u << 20);
    s64 status = -1;
    if (thread_create(&t, thread_main, n, rnd(me, 2) ? SYS_ANY_CPU : rnd(me, cpus)) != 0)
        return; /* no room, a parked CPU, or the process is ending */
    s64 e = thread_join(&t, &status);
    check(e == 0 && (status == (s64)n || status == SYS_STATUS_KILLED), "thread %llu ended with %lld (%s)",
          ULL(n), (long long)status, sys_error_name(e));
    if (e == 0)
        count(me, STORM_THREAD);
}

/* In a copy, which shares nothing with the kernel: it tells the parent's receiver. */
static s64 copy_main(u64 expected)
{
    u64 wrong = copied != expected;
    copied = ~expected;
    s64 at = sys_map(0, 4 * SYS_PAGE, SYS_MAP_WRITE);
    for (u64 i = 0; at > 0 && i < 4; i++) {
        wrong += touch_read((u64)at + i * SYS_PAGE) != 0;
        touch_write((u64)at + i * SYS_PAGE, expected);
    }
    for (u64 number = 0; number < MAPPERS; number++)
        for (u64 i = 0; i < KEPT; i++)
            touch_write(page_of(number, i), 1); /* to whom it is not meant for, a page of the first round */
    if (at > 0 && sys_discard((u64)at, 2 * SYS_PAGE) == 0)
        wrong += touch_read((u64)at) != 0;
    if (wrong) {
        struct sys_message m = {.thread = expected >> 32};
        fill(&m, KIND_WRONG, wrong);
        sys_send(&m);
    }
    sys_process_exit(0);
}

static void copy(struct self *me)
{
    struct thread t;
    u64 receiver = atomic_load_relaxed(&share->receiver), word = receiver << 32 | rnd(me, 1u << 30);
    atomic_store_relaxed(&copied, word);
    s64 e = thread_clone(&t, copy_main, word, SYS_ANY_CPU);
    if (e != 0) {
        check(e == -SYS_ERR_NOMEM || e == -SYS_ERR_FULL || e == -SYS_ERR_ABSENT, "copy: %s",
              sys_error_name(e));
        return;
    }
    count(me, STORM_COPY);
    sys_unmap(t.stack, THREAD_STACK_BYTES); /* the copy has one of its own */
    check(atomic_load_relaxed(&copied) == word, "a copy has changed what is ours");
}

static void (*const roles[])(struct self *me) = {NULL, map_on, map_on, receive_on, call_on, fault_on};

static s64 role_main(u64 index)
{
    struct self me = self_begin(index);
    phase(&me, STORM_PHASE_RUN);
    roles[index](&me);
    phase(&me, STORM_PHASE_NONE);
    return 0;
}

static void end_receiver(u64 handle)
{
    struct sys_message m = {.thread = handle};
    fill(&m, KIND_END, 0);
    while (sys_send(&m) == -SYS_ERR_FULL)
        sys_thread_yield();
}

s64 program(u64 arg)
{
    struct thread t[STORM_THREADS];
    if (arg < SYS_PAGE) {
        say("a part of the self test `storm`; on its own it does nothing");
        return 0;
    }
    share = (struct storm_share *)(arg & ~(SYS_PAGE - 1));
    cpus = (u64)sys_cpus(0, NULL);
    check_begin_at(&share->verdict);
    struct self me = self_begin(PARENT);
    phase(&me, STORM_PHASE_RUN);
    for (u64 i = 0; i < MAPPERS; i++)
        if (sys_map(page_of(i, 0), KEPT * SYS_PAGE, SYS_MAP_WRITE | SYS_MAP_FIXED) < 0)
            return 0; /* memory is out */
    u64 n = 1;
    for (; n < STORM_THREADS; n++) {
        if (thread_create(&t[n], role_main, n, share->stay ? rnd(&me, cpus) : SYS_ANY_CPU) != 0)
            break; /* a parked CPU, no memory, or it is being killed */
        if (n == RECEIVER)
            atomic_store_relaxed(&share->receiver, t[n].handle);
    }
    while (!stopped()) {
        start_and_join(&me);
        look_at_kept();
        if (n > RECEIVER && !rnd(&me, 4))
            copy(&me);
        wander(&me);
        cpu_pause();
    }
    for (u64 i = n - 1; i >= 1; i--) { /* the caller, who may wait for our own receiver, before that one */
        s64 status = -1;
        if (i == RECEIVER)
            end_receiver(t[i].handle);
        s64 e = thread_join(&t[i], &status);
        check(e == 0 && (status == 0 || status == SYS_STATUS_KILLED), "thread %llu ended with %lld (%s)",
              ULL(i), (long long)status, sys_error_name(e));
    }
    phase(&me, STORM_PHASE_NONE);
    return (s64)share->verdict.failures;
}
