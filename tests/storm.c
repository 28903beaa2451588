/* The storm: on all CPUs at once, threads of the kernel and processes of ring 3 do everything to address spaces that there is to be done,
 * while the policy changes under them, and CPUs are parked. `seconds=N` says for how long, `seed=N` repeats its choices. */
#include "tests/storm.h"
#include "kernel/clock.h"
#include "kernel/console.h"
#include "kernel/process.h"
#include "lib/context.h"
#include "lib/log.h"
#include "lib/string.h"
#include "tests/duration.h"
#include "tests/oracle.h"
#include "tests/residents.h"
#include "tests/thread_util.h"

#define DEFAULT_MS    400u
#define POLICY_MS     100u /* each has its turn for so long, ... */
#define POLICY_PARTS  16u  /* ... but in a short storm for such a part of it */
#define PARK_EVERY_MS 100u
#define PROGRESS_MS   5000u
#define MORE_MS       6000u  /* for kinds that have not happened yet; scaled by wait_scale */
#define END_MS        10000u /* for everybody to end, scaled */
#define TURN_US       1000u

struct storm_run storm_run;

/* ---- what is counted ---- */

enum who { K = 1, R = 2, B = 3 };
static const struct {
    const char *name;
    u8 who;
} kinds[STORM_KINDS] = {
#define STORM_KIND_ENTRY(id, name_, who_) [id] = {name_, who_},
    STORM_KINDS_LIST(STORM_KIND_ENTRY)};

static struct {
    u32 actors, wardens;
    struct storm_counts own; /* the test's */
    u64 policies, policy_turn;
    u64 random;
} all;

void storm_wrong(struct storm_counts *c, const char *what, u64 found, u64 expected)
{
    if (c->wrong++)
        return;
    string_copy(c->what, sizeof(c->what), what);
    c->found = found;
    c->expected = expected;
}

static u64 by_kernel(u32 kind)
{
    u64 sum = atomic_load_relaxed(&all.own.done[kind]);
    for (u32 i = 0; i < all.actors; i++)
        sum += atomic_load_relaxed(&storm_actor_counts(i)->done[kind]);
    return sum;
}
static u64 by_ring3(u32 kind)
{
    u64 sum = 0;
    for (u32 i = 0; i < all.wardens; i++)
        sum += atomic_load_relaxed(&storm_warden_counts(i)->done[kind]);
    return sum;
}

/* Kinds that cannot happen on this machine: there has to be another CPU to go to. */
static bool possible(u32 kind)
{
    return (kind != STORM_MIGRATE && kind != STORM_PARK) || cpu_online_count() > 1;
}

/* Has each happened? Else the names of those that have not, if `missing` is not NULL. */
static bool complete(char *missing, size_t size)
{
    bool whole = true;
    size_t at = 0;
    for (u32 k = 0; k < STORM_KINDS; k++) {
        if (!possible(k))
            continue;
        bool no_kernel = (kinds[k].who & K) && !by_kernel(k), no_ring3 = (kinds[k].who & R) && !by_ring3(k);
        if (!no_kernel && !no_ring3)
            continue;
        whole = false;
        if (missing && at < size)
            at += format(missing + at, size - at, " %s%s", kinds[k].name,
                         kinds[k].who != B ? ""
                         : no_kernel       ? " (kernel)"
                                           : " (ring 3)");
    }
    return whole;
}

/* "map 12+34 unmap ...": by the kernel's threads + by ring 3. */
static void tell(char *out, size_t size)
{
    size_t at = 0;
    out[0] = 0;
    for (u32 k = 0; k < STORM_KINDS && at < size; k++) {
        unsigned long long kernel = by_kernel(k), ring3 = by_ring3(k);
        const char *gap = k ? " " : "";
        if (kinds[k].who == B)
            at += format(out + at, size - at, "%s%s %llu+%llu", gap, kinds[k].name, kernel, ring3);
        else
            at += format(out + at, size - at, "%s%s %llu", gap, kinds[k].name, kernel + ring3);
    }
}

static bool is_wrong(void)
{
    bool wrong = all.own.wrong;
    for (u32 i = 0; i < all.actors; i++)
        wrong = wrong || atomic_load_relaxed(&storm_actor_counts(i)->wrong);
    for (u32 i = 0; i < all.wardens; i++)
        wrong = wrong || atomic_load_relaxed(&storm_warden_counts(i)->wrong);
    return wrong;
}

/* ---- while it lasts ---- */

/* The policy in force changes while everything goes on: an operation keeps the one that it began with. */
static void next_policy(struct test *t)
{
    for (size_t i = 0; i < TABLE_SIZE(policy); i++) {
        const struct shootdown_policy *p = TABLE_START(policy)[all.policy_turn++ % TABLE_SIZE(policy)];
        if (!POLICY_USABLE(p))
            continue;
        err_t e = shootdown_policy_set(p->name);
        CHECK(t, e == ERR_OK, "policy %s: %s", p->name, err_name(e));
        all.policies++;
        return;
    }
}

/* A CPU that can be parked is, until the next time. Threads that are pinned there, or do not stop in time, keep it in use. */
static void park_another(struct test *t)
{
    if (storm_run.parked) {
        err_t e = cpu_unpark(storm_run.parked);
        CHECK(t, e == ERR_OK, "CPU %u cannot be unparked: %s", storm_run.parked, err_name(e));
    }
    cpu_t cpu = storm_stopped() ? 0 : (cpu_t)storm_random(&all.random, cpu_count());
    atomic_xchg(&storm_run.parked, cpu); /* LOCKed; pairs with: tests/storm_warden.c:guest_enter */
    if (!cpu)
        return;
    err_t e = atomic_load_relaxed(&storm_run.guests) ? ERR_INVAL : cpu_park(cpu);
    if (e == ERR_OK) {
        storm_count(&all.own, STORM_PARK);
        return;
    }
    atomic_store_relaxed(&storm_run.parked, 0);
    if (e != ERR_INVAL && e != ERR_TIMEOUT && e != ERR_ABSENT)
        storm_wrong(&all.own, "cpu_park", (u64)e, ERR_OK);
}

static void blow(struct test *t)
{
    static char line[800];
    u64 ms = test_duration_ms(DEFAULT_MS);
    u64 begin = rdtsc(), end = ms == TEST_FOR_EVER ? ~0ull : begin + tsc_from_us(ms * 1000);
    u64 last = end == ~0ull ? end : end + wait_ms(MORE_MS);
    u64 turn = tsc_from_us(MIN(POLICY_MS, ms / POLICY_PARTS) * 1000), policy_at = begin;
    u64 park_at = begin, tell_at = begin + tsc_from_us(PROGRESS_MS * 1000);
    for (u64 now = begin; !is_wrong() && (now < end || (now < last && !complete(NULL, 0))); now = rdtsc()) {
        if (now >= policy_at) {
            next_policy(t);
            policy_at = now + turn;
        }
        if (now >= park_at) {
            park_another(t);
            park_at = rdtsc() + tsc_from_us(PARK_EVERY_MS * 1000);
        }
        if (now >= tell_at) {
            tell(line, sizeof(line));
            print("  storm, %llu s: %s\n", (unsigned long long)(tsc_to_ns(now - begin) / 1000000000), line);
            tell_at = now + tsc_from_us(PROGRESS_MS * 1000);
        }
        if (ms == TEST_FOR_EVER && console_poll() >= 0)
            break;
        thread_sleep_us(TURN_US);
    }
}

static void wait_for_all(u32 n)
{
    struct wait w = WAIT("everybody in the storm", wait_ms(END_MS));
    /* orders: what they have written before our looking at it; pairs with: tests/storm_actor.c:actor_main and
     * tests/storm_warden.c:warden_main (LOCKed counts); else: a space could be destroyed under the last of them. */
    while (atomic_load_acquire(&storm_run.ended) < n && wait_spin(&w))
        thread_sleep_us(TURN_US);
    if (storm_run.ended < n)
        panic("%u threads of the storm, which use static memory, do not end", n - storm_run.ended);
}

static void judge(struct test *t, const char *who, u32 i, const struct storm_counts *c)
{
    CHECK(t, !c->wrong, "%s %u: %s: found %llx, expected %llx (the first of %llu)", who, i, c->what,
          (unsigned long long)c->found, (unsigned long long)c->expected, (unsigned long long)c->wrong);
}

static void storm_test(struct test *t)
{
    static char line[800];
    const struct shootdown_policy *before = shootdown_policy();
    u64 reports = counter_now(t, "msg_watchdog_reports"), again = counter_now(t, "msg_rings_again");
    u32 processes = process_count();
    u64 began = clock_ns();
    memset(&all, 0, sizeof(all));
    storm_run = (struct storm_run){.seed = test_seed()};
    all.random = storm_random_begin(test_seed(), 0x2000);
    print("  storm: seed=%llu\n", (unsigned long long)test_seed());
    all.actors = storm_actors_start(t);
    all.wardens = storm_wardens_start(t);
    blow(t);
    atomic_store_relaxed(&storm_run.stop, 1);
    park_another(t); /* none, now */
    wait_for_all(all.actors + all.wardens);
    storm_actors_clear();
    policy_restore(t, before);

    judge(t, "the test", 0, &all.own);
    for (u32 i = 0; i < all.actors; i++)
        judge(t, "actor", i, storm_actor_counts(i));
    for (u32 i = 0; i < all.wardens; i++)
        judge(t, "warden", i, storm_warden_counts(i));
    bool whole = complete(line, sizeof(line));
    CHECK(t, whole || is_wrong(), "has never happened:%s", line);
    CHECK(t, counter_now(t, "msg_watchdog_reports") == reports && counter_now(t, "msg_rings_again") == again,
          "the watchdog has reported");
    struct wait w = WAIT("the copies of processes to end", wait_ms(END_MS));
    while (process_count() > processes && wait_spin(&w))
        thread_sleep_us(TURN_US);
    CHECK(t, process_count() == processes, "%u processes are left, there were %u", process_count(),
          processes);
    tell(line, sizeof(line));
    test_note_shown(t, "%llu s, seed %llu, %u+%u threads, %llu changes of policy: %s",
                    (unsigned long long)((clock_ns() - began) / 1000000000), (unsigned long long)test_seed(),
                    all.actors, all.wardens, (unsigned long long)all.policies, line);
    if (oracle_power() == ORACLE_BLIND)
        test_blind(t, "no stale translation is visible on this machine");
}
TABLE_ENTRY(test, struct test_entry,
            test_entry_storm) = {.name = "storm",
                                 .what = "all CPUs, all operations on spaces, by kernel and ring 3, under "
                                         "every policy: nothing stale, nothing lost",
                                 .fn = storm_test};
