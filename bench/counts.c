#include "bench/counts.h"

#include "bench/bench.h"
#include "kernel/cost.h"
#include "kernel/patch.h"
#include "kernel/thread.h"
#include "lib/assert.h"
#include "lib/counter.h"
#include "lib/log.h"
#include "lib/param.h"
#include "lib/string.h"
#include "mm/opt.h"
#include "smp/cpus.h"
#include "smp/message.h"

static bool counting, wanted = true;

static const char *set_counts(const char *value)
{
    return parse_on_off(value, &wanted) ? NULL : "counts=on or counts=off";
}
PARAM(counts, "counts",
      "counts=on|off: before a benchmark is timed, count its cache lines and table entries (default on)",
      set_counts);

bool bench_counts_wanted(void)
{
    return wanted;
}

/* Over all CPUs. */
struct sums {
    u64 lines, ptes;
};
static struct sums at_begin, at_pause, left_out;
static struct bench_counts cell; /* of the last one */
static bool cell_is_known;

bool bench_counting(void)
{
    return counting;
}

static void must_patch(bool on)
{
    cost_count(on);
    if (patch_set(PATCH_TIMES, on) != ERR_OK)
        panic("benchmark: the sites that count could not be patched");
}

void bench_counts_begin(void)
{
    counting = true;
    cell_is_known = false;
    print("\n(counting lines");
    print_silence(true);
    must_patch(true);
}

void bench_counts_end(void)
{
    must_patch(false);
    print_silence(false);
    print(")\n");
    counting = false;
}

/* ---- counting ---- */

static struct sums sums_now(void)
{
    static const struct counter *lines, *ptes;
    if (!lines) {
        lines = counter_find("cache_lines");
        ptes = counter_find("pte_changes");
    }
    ASSERT(lines && ptes, "the counters of lines and entries exist");
    return (struct sums){counter_sum(lines), counter_sum(ptes)};
}

static void ignore(struct msg_in *in)
{
    (void)in;
}
MSG_KIND(bench_counts_settle, ignore);

/* Until what has been sent to the others has been served. */
static void settle(void)
{
    struct msg m = {.kind = &bench_counts_settle, .flags = MSG_SYNC};
    cpumask_t others;
    cpumask_clear(&others);
    CPUMASK_FOREACH (c, &cpus_online)
        if (c != cpu_self() && !cpu_is_parked(c))
            cpumask_set(&others, c);
    if (!cpumask_empty(&others) && msg_call_mask(&others, &m) != ERR_OK)
        panic("benchmark: a CPU does not answer");
}

/* Everything that the operations so far have caused, on targets too, which may still have been at it. What settling adds is known: a
 * second time it adds the same, and nothing else. */
static struct sums sums_settled(void)
{
    settle();
    struct sums with = sums_now();
    settle();
    with.lines -= sums_now().lines - with.lines;
    return with;
}

void bench_counts_cell_begin(void)
{
    if (!counting)
        return;
    left_out = (struct sums){0};
    cell_is_known = false;
    settle();
    at_begin = sums_now();
}

/* Somebody who waits sees that it goes on. */
static void show_progress(void)
{
    print_silence(false);
    print(".");
    print_silence(true);
}

/* Rounded. What starting a program has moved may be a little less than the time before: then it is nothing. */
static u64 of_one(u64 all, u64 other, u64 operations)
{
    return all > other ? (all - other + operations / 2) / operations : 0;
}

void bench_counts_cell_end(u64 operations)
{
    if (!counting)
        return;
    show_progress();
    struct sums now = sums_settled();
    cell_is_known = operations != 0;
    if (cell_is_known)
        cell = (struct bench_counts){of_one(now.lines - at_begin.lines, left_out.lines, operations),
                                     of_one(now.ptes - at_begin.ptes, left_out.ptes, operations)};
}

void bench_counts_pause(void)
{
    if (counting)
        at_pause = sums_settled();
}

void bench_counts_resume(void)
{
    if (!counting)
        return;
    struct sums now = sums_now();
    left_out.lines += now.lines - at_pause.lines;
    left_out.ptes += now.ptes - at_pause.ptes;
}

void bench_counts_deduct(void)
{
    if (!counting)
        return;
    struct sums first = sums_settled();
    left_out = (struct sums){first.lines - at_begin.lines, first.ptes - at_begin.ptes};
    at_begin = sums_now();
}

/* ---- by key ---- */

/* Enough for the largest set; what does not find a place has no counts in its record. */
#define PLACES 4096u

static struct place {
    u64 key; /* 0: free */
    u32 lines, ptes;
} places[PLACES];

static u64 add_text(u64 hash, const char *text)
{
    for (; text && *text; text++)
        hash = (hash ^ (u8)*text) * 0x100000001b3ull;
    return (hash ^ 0xff) * 0x100000001b3ull;
}

/* FNV-1a of what tells one cell from another. */
static u64 hash_of(const struct bench_key *k, const char *metric)
{
    u64 hash = 0xcbf29ce484222325ull;
    const char *const text[] = {k->bench, k->policy, k->op, k->responders, k->initiator, metric};
    const u64 numbers[] = {k->cpus, k->fanout, k->pages};
    for (u32 i = 0; i < ARRAY_SIZE(text); i++)
        hash = add_text(hash, text[i]);
    for (u32 i = 0; i < ARRAY_SIZE(numbers); i++)
        hash = (hash ^ numbers[i]) * 0x100000001b3ull;
    return add_text(add_text(hash, msg_delivery_name()), opt_text()) | 1;
}

/* The key's place, or a free one; NULL if all are taken. */
static struct place *place_of(u64 key)
{
    for (u32 i = 0; i < PLACES; i++) {
        struct place *p = &places[(key + i) % PLACES];
        if (!p->key || p->key == key)
            return p;
    }
    return NULL;
}

static void put(u64 key)
{
    struct place *p = place_of(key);
    if (p)
        *p = (struct place){key, (u32)cell.lines, (u32)cell.pte_changes};
}

void bench_counts_clear(void)
{
    memset(places, 0, sizeof(places));
}

void bench_counts_store(const struct bench_key *k)
{
    if (!cell_is_known)
        return;
    put(hash_of(k, k->metric));
    put(hash_of(k, NULL));
}

bool bench_counts_find(const struct bench_key *k, struct bench_counts *c)
{
    const struct place *p = place_of(hash_of(k, k->metric));
    if (!p || !p->key)
        p = place_of(hash_of(k, NULL));
    if (!p || !p->key)
        return false;
    *c = (struct bench_counts){p->lines, p->ptes};
    return true;
}
