#include "bench/sample.h"

#include "bench/counts.h"
#include "bench/effort.h"
#include "lib/assert.h"
#include "lib/param.h"
#include "lib/string.h"
#include "lib/wait.h"

/* A cell is long enough after 10 ms of the machine's clock, and bounded by 60 ms: with some hundred cells the default set ends
 * well within a minute, whatever the emulator makes of it. The clock is the TSC, so that Bochs repeats. */
#define CELL_ENOUGH_US 10000u
#define CELL_LIMIT_US  60000u

/* Fewer samples than this say little of the tail, however well they agree. */
#define PRECISE_MIN 256u

static struct samples pool[SAMPLES_USES];
static u64 precision = 10; /* thousandths of the median */

static const char *set_precision(const char *value)
{
    u64 n;
    if (!parse_u64(value, &n) || n > 1000)
        return "precision=N, in thousandths of the median, 0 to 1000; 0: as long as a cell may take";
    precision = n;
    return NULL;
}
PARAM(precision, "precision",
      "precision=N: a cell ends when the 95 % interval of its median is within N thousandths of it (default "
      "10)",
      set_precision);

static u64 overhead;

struct samples *samples_get(u32 use)
{
    ASSERT(use < SAMPLES_USES, "each distribution of a cell has its own room");
    struct samples *s = &pool[use];
    s->n = 0;
    s->sum = 0;
    s->sorted = false;
    return s;
}

void samples_add(struct samples *s, u64 v)
{
    if (s->n == SAMPLES_MAX)
        return;
    s->value[s->n++] = v;
    s->sum += v;
    s->sorted = false;
}

/* Heap sort: no recursion, no extra room, the same time for any input. */
static void sort(u64 *v, u32 n)
{
    for (u32 start = n / 2, end = n; end > 1;) {
        if (start) {
            start--;
        } else {
            end--;
            u64 top = v[0];
            v[0] = v[end];
            v[end] = top;
        }
        u64 item = v[start];
        u32 hole = start;
        for (u32 child; (child = 2 * hole + 1) < end; hole = child) {
            if (child + 1 < end && v[child + 1] > v[child])
                child++;
            if (v[child] <= item)
                break;
            v[hole] = v[child];
        }
        v[hole] = item;
    }
}

static void sort_samples(struct samples *s)
{
    if (!s->sorted)
        sort(s->value, s->n);
    s->sorted = true;
}

u64 samples_percentile(struct samples *s, u32 p)
{
    if (!s->n)
        return 0;
    sort_samples(s);
    u64 rank = ((u64)s->n * p + 999) / 1000;
    return s->value[rank ? rank - 1 : 0];
}

u64 samples_mean(const struct samples *s)
{
    return s->n ? (s->sum + s->n / 2) / s->n : 0;
}

static u32 square_root(u32 n)
{
    u32 root = 0;
    while ((root + 1) * (root + 1) <= n)
        root++;
    return root;
}

/* How many of n samples are below the median is binomial with variance n/4: so with 95 % probability the median lies within
 * 1.96 * sqrt(n) / 2 ranks of the middle one. */
static void median_ranks(u32 n, u32 *low, u32 *high)
{
    u32 reach = (98 * (square_root(n) + 1) + 99) / 100;
    *low = n / 2 > reach ? n / 2 - reach : 0;
    *high = MIN(n / 2 + reach, n - 1);
}

void samples_median_interval(struct samples *s, u64 *low, u64 *high)
{
    u32 from, to;
    *low = *high = 0;
    if (!s->n)
        return;
    sort_samples(s);
    median_ranks(s->n, &from, &to);
    *low = s->value[from];
    *high = s->value[to];
}

/* On a copy: raw samples are shown in the order in which they were taken. */
static bool is_precise(const struct samples *s)
{
    static struct samples copy;
    u64 low, high;
    if (!precision || s->n < PRECISE_MIN)
        return false;
    memcpy(copy.value, s->value, s->n * sizeof(s->value[0]));
    copy.n = s->n;
    copy.sorted = false;
    samples_median_interval(&copy, &low, &high);
    return (high - low) * 1000 <= 2 * precision * copy.value[copy.n / 2];
}

/* Rounds of the pass that counts: none of them is a sample. */
#define COUNTED_ROUNDS SAMPLES_WARMUP

void cell_begin(struct cell_clock *c)
{
    bench_effort_begin();
    bench_counts_cell_begin();
    c->watched = NULL;
    c->start = rdtsc();
    c->done = 0;
    c->batch_end = SAMPLES_WARMUP + SAMPLES_FIRST;
}

void cell_watch(struct cell_clock *c, struct samples *s)
{
    c->watched = s;
}

static bool counting_continue(struct cell_clock *c)
{
    if (c->done == COUNTED_ROUNDS) {
        bench_counts_cell_end(c->done);
        return false;
    }
    c->done++;
    return true;
}

bool cell_continue(struct cell_clock *c)
{
    if (bench_counting())
        return counting_continue(c);
    u64 spent = rdtsc() - c->start;
    if (c->done == c->batch_end) {
        bool enough = c->watched ? is_precise(c->watched) : spent >= tsc_from_us(CELL_ENOUGH_US);
        if (enough || c->done >= SAMPLES_WARMUP + SAMPLES_MAX)
            return false;
        c->batch_end = SAMPLES_WARMUP + 2 * (c->batch_end - SAMPLES_WARMUP);
    }
    /* Even a cell of very long operations has its warm-up and a few samples. */
    if (c->done > SAMPLES_WARMUP + 4 && spent > tsc_from_us(CELL_LIMIT_US))
        return false;
    c->done++;
    return true;
}

void bench_measure_overhead(void)
{
    u64 best = ~0ull;
    for (u32 i = 0; i < 64; i++) {
        u64 start = rdtsc_ordered();
        u64 ticks = rdtsc_ordered() - start;
        best = MIN(best, ticks);
    }
    overhead = best;
}

u64 bench_overhead(void)
{
    return overhead;
}

void bench_jitter(void)
{
    static u32 state = 2463534242u; /* xorshift32, Marsaglia's seed: any but 0 would do */
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    switch (state % 5) {
    case 4:
        __asm__ volatile("nop"); /* fall through */
    case 3:
        __asm__ volatile("nop"); /* fall through */
    case 2:
        __asm__ volatile("nop"); /* fall through */
    case 1:
        __asm__ volatile("nop"); /* fall through */
    default:
        break;
    }
}
