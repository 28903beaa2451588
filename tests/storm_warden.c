/* The storm's processes, and those who start and end them: each warden runs one process after another, lets it come to its end, or kills it
 * wherever its threads are, and looks at what it has said. Mostly user/storm.c; now and then one of the other programs of ring 3. */
#include "kernel/process.h"

#include "lib/log.h"
#include "lib/string.h"
#include "tests/storm.h"
#include "tests/thread_util.h"
#include "tests/user_workload.h"

#define GUEST_EVERY 24u   /* one process in so many is another program */
#define STAY_EVERY  8u    /* one in so many pins its threads: its CPUs cannot be parked meanwhile */
#define LONG_EVERY  3u    /* one in so many lives long: ... */
#define SHORT_OPS   40u   /* until its threads have done so much, at most ... */
#define LONG_OPS    1500u /* ... or so much, ... */
#define FIRST_SHORT 8u    /* the first ones are short, so that a short storm has all kinds of ends */
#define LIFE_MS     2000u /* ... but not longer than this */
#define STEP_US     2000u /* between two looks at how far it is, and at whom it may send to */
#define AIM_MS      20u   /* until a thread is where it is to be killed; else it is killed elsewhere */
#define END_MS      3000u /* for its threads to end; scaled by wait_scale */

/* Programs that end by themselves, whose work is bounded by `count`. What they say of their checks holds only if nobody killed one of their
 * threads before another had joined it. Not `stale`: it expects that an unmap that has returned is in force, and under the policies that
 * wait for nobody (deferred, lazy) the old page may be read a little longer, though by nobody's but its old owner's content. */
static const struct {
    const char *name;
    u64 count;
} guests[] = {{"churn", 40},    {"faultstorm", 2}, {"pingpong", 40},
              {"registers", 4}, {"responder", 0},  {"courier", 40}};

struct warden {
    u32 index;
    u64 random, processes;
    struct storm_counts counts;
} CACHE_ALIGNED;
static struct warden wardens[STORM_WARDENS_MAX];

/* Threads that take messages, of whatever process, gone or not. */
static u64 peers[STORM_PEERS];
static u32 warden_count;
#define PEERS_EACH (STORM_PEERS / STORM_WARDENS_MAX)

static u64 rnd(struct warden *w, u64 n)
{
    return storm_random(&w->random, n);
}

static bool may_fail(err_t e)
{
    return e == ERR_NOMEM || e == ERR_FULL || e == ERR_ABSENT;
}

/* Each warden has some of the places, and uses them in turn: half of the receivers that others know are gone, or about to go. */
static void exchange_peers(struct warden *w, struct storm_share *share)
{
    u64 receiver = atomic_load_relaxed(&share->receiver);
    if (receiver)
        atomic_store_relaxed(&peers[w->index * PEERS_EACH + w->processes % PEERS_EACH], receiver);
    for (u32 i = 0; i < STORM_PEERS; i++)
        atomic_store_relaxed(&share->peer[i], atomic_load_relaxed(&peers[i % (warden_count * PEERS_EACH)]));
}

static u64 progress(const struct storm_share *share)
{
    u64 sum = 0;
    for (u32 i = 0; i < STORM_THREADS; i++)
        for (u32 k = 0; k < STORM_KINDS; k++)
            sum += atomic_load_relaxed(&share->thread[i].done[k]);
    return sum;
}

/* Until one of its threads is there, in the hope that the kill finds it there. */
static void aim(const struct storm_share *share, enum storm_phase wanted)
{
    for (u64 end = rdtsc() + tsc_from_us(AIM_MS * 1000); rdtsc() < end; thread_yield())
        for (u32 i = 0; i < STORM_THREADS; i++)
            if (atomic_load_relaxed(&share->thread[i].phase) == wanted)
                return;
}

static void count_phases(struct warden *w, const struct storm_share *share)
{
    static const u8 kind_of[] = {
        [STORM_PHASE_SYSCALL] = STORM_IN_CALL,
        [STORM_PHASE_RECEIVE] = STORM_IN_RECEIVE,
        [STORM_PHASE_CALL] = STORM_IN_REPLY,
        [STORM_PHASE_FAULT] = STORM_IN_FAULT,
    };
    for (u32 i = 0; i < STORM_THREADS; i++) {
        u64 phase = share->thread[i].phase;
        if (phase < ARRAY_SIZE(kind_of) && kind_of[phase])
            storm_count(&w->counts, (enum storm_kind)kind_of[phase]);
    }
}

/* Who failed first may have been killed before he has said how. */
static void wrong_in_process(struct warden *w, const char *name, struct workload_verdict *v, s64 status)
{
    char what[2 * WORKLOAD_TEXT];
    v->failure[WORKLOAD_TEXT - 1] = 0;
    format(what, sizeof(what), "%s, status %lld: %s", name, (long long)status,
           v->failure[0] ? v->failure : "no word");
    storm_wrong(&w->counts, what, v->failures, 0);
}

/* Its last thread is gone, so what it has said stays as it is. */
static void judge(struct warden *w, struct process *p, struct storm_share *share, bool killed, s64 status)
{
    u64 crashes = 0;
    for (u32 i = 0; i < STORM_THREADS; i++) {
        crashes += share->thread[i].done[STORM_CRASH];
        for (u32 k = 0; k < STORM_KINDS; k++)
            atomic_store_relaxed(&w->counts.done[k], w->counts.done[k] + share->thread[i].done[k]);
    }
    if (killed)
        count_phases(w, share);
    if (share->verdict.failures)
        wrong_in_process(w, "storm", &share->verdict, status);
    if (status != 0 && !(killed && status == STATUS_KILLED))
        storm_wrong(&w->counts, "the status of a process", (u64)status, killed ? (u64)STATUS_KILLED : 0);
    if (process_faults(p) > crashes)
        storm_wrong(&w->counts, "threads that faulted, and those that were to", process_faults(p), crashes);
}

/* Lives for a while, then ends one way or the other. */
static void live_and_end(struct warden *w, struct process *p, struct storm_share *share)
{
    u64 least = rnd(w, w->processes <= FIRST_SHORT || rnd(w, LONG_EVERY) ? SHORT_OPS : LONG_OPS);
    bool kill = rnd(w, 2), stop = !kill || !rnd(w, 4); /* sometimes both at once */
    enum storm_phase at = (enum storm_phase)(1 + (w->index + w->processes) % (STORM_PHASES - 1));
    u64 end = rdtsc() + tsc_from_us(LIFE_MS * 1000);
    while (progress(share) < least && rdtsc() < end && !storm_stopped()) {
        exchange_peers(w, share);
        thread_sleep_us(STEP_US);
    }
    if (kill)
        aim(share, at);
    if (stop)
        atomic_store_relaxed(&share->stop, 1);
    if (kill)
        process_kill(p);
    s64 status = 0;
    err_t e = process_wait(p, END_MS, &status);
    if (e != ERR_OK) {
        storm_wrong(&w->counts,
                    kill ? "a killed process does not end; its threads"
                         : "a process does not end; its threads",
                    process_threads(p), 0);
        process_kill(p);
        return;
    }
    storm_count(&w->counts, kill ? STORM_KILL : STORM_EXIT);
    storm_count(&w->counts, STORM_DESTROY); /* with the last reference, which its caller gives back */
    judge(w, p, share, kill, status);
}

static void run_storm(struct warden *w)
{
    struct process *p;
    struct storm_share *share;
    void *view;
    thread_handle_t h;
    err_t e = process_create("storm", &p);
    if (e == ERR_OK) {
        e = process_share_pages(p, STORM_VA, 1, &view);
        if (e == ERR_OK) {
            share = view;
            share->seed = storm_random_begin(storm_run.seed, w->index * 0x100000001ull + w->processes);
            share->stay = !rnd(w, STAY_EVERY);
            cpu_t cpu = share->stay ? (cpu_t)rnd(w, cpu_count()) : CPU_NONE;
            e = process_start(p, cpu, STORM_VA, &h);
            if (e == ERR_OK) {
                storm_count(&w->counts, STORM_CREATE);
                live_and_end(w, p, share);
            }
        }
        process_unref(p);
    }
    if (e != ERR_OK && !may_fail(e))
        storm_wrong(&w->counts, "starting a process", (u64)e, ERR_OK);
}

/* They insist on the CPUs of their choice, so none may be parked meanwhile. */
static bool guest_enter(void)
{
    atomic_fetch_add(&storm_run.guests, 1); /* LOCKed; pairs with: tests/storm.c:park_another */
    if (!atomic_load_relaxed(&storm_run.parked))
        return true;
    atomic_fetch_sub(&storm_run.guests, 1);
    return false;
}

/* Its checks hold if it is not killed, and it says so. */
static void judge_guest(struct warden *w, struct user_run *r, const char *name)
{
    if (r->w->verdict.failures || r->status != 0)
        wrong_in_process(w, name, &r->w->verdict, r->status);
}

static void run_guest(struct warden *w)
{
    u32 which = (u32)rnd(w, ARRAY_SIZE(guests));
    bool kill = rnd(w, 2);
    struct user_run r = {0};
    void *view;
    thread_handle_t h;
    err_t e = process_create(guests[which].name, &r.process);
    if (e != ERR_OK)
        return;
    e = process_share_pages(r.process, WORKLOAD_VA, ALIGN_UP(sizeof(*r.w), PAGE_SIZE) / PAGE_SIZE, &view);
    if (e == ERR_OK) {
        r.w = view;
        r.w->count = guests[which].count;
        r.w->threads = 3;
        r.w->busy = WORKLOAD_VA;
        e = process_start(r.process, CPU_NONE, WORKLOAD_VA, &h);
    }
    if (e == ERR_OK) {
        storm_count(&w->counts, STORM_CREATE);
        thread_sleep_us(rnd(w, LIFE_MS * 100u));
        atomic_store_relaxed(&r.w->stop, 1);
        if (kill)
            process_kill(r.process);
        e = process_wait(r.process, END_MS, &r.status);
        if (e != ERR_OK) {
            storm_wrong(&w->counts, guests[which].name, (u64)e, ERR_OK);
            process_kill(r.process);
        } else {
            storm_count(&w->counts, kill ? STORM_KILL : STORM_EXIT);
            storm_count(&w->counts, STORM_DESTROY);
            if (!kill)
                judge_guest(w, &r, guests[which].name);
        }
    }
    process_unref(r.process);
}

static void warden_main(void *arg)
{
    struct warden *w = arg;
    while (!storm_stopped() && !w->counts.wrong) {
        w->processes++;
        if (!rnd(w, GUEST_EVERY) && guest_enter()) {
            run_guest(w);
            atomic_fetch_sub(&storm_run.guests, 1);
        } else {
            run_storm(w);
        }
        thread_yield();
    }
    atomic_fetch_add(&storm_run.ended, 1); /* LOCKed; pairs with: tests/storm.c:wait_for_all */
}

u32 storm_wardens_start(struct test *t)
{
    u32 wanted = MIN(MAX(cpu_online_count() / 2, 2u), STORM_WARDENS_MAX), n = 0;
    memset(peers, 0, sizeof(peers));
    warden_count = wanted; /* before the first one looks */
    while (n < wanted) {
        struct warden *w = &wardens[n];
        *w = (struct warden){.index = n, .random = storm_random_begin(storm_run.seed, 0x1000 + n)};
        if (!spawn(t, n % cpu_count(), warden_main, w))
            break;
        n++;
    }
    return n;
}

struct storm_counts *storm_warden_counts(u32 i)
{
    return &wardens[i].counts;
}
