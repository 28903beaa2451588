#include "bench/sample.h"

#include "lib/assert.h"
#include "lib/wait.h"

/* A cell is long enough after 10 ms of the machine's clock, and bounded by 60 ms: with some hundred cells the default set ends
 * well within a minute, whatever the emulator makes of it. The clock is the TSC, so that Bochs repeats. */
#define CELL_ENOUGH_US 10000u
#define CELL_LIMIT_US  60000u

static struct samples pool[SAMPLES_USES];
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

u64 samples_percentile(struct samples *s, u32 p)
{
    if (!s->n)
        return 0;
    if (!s->sorted) {
        sort(s->value, s->n);
        s->sorted = true;
    }
    u64 rank = ((u64)s->n * p + 999) / 1000;
    return s->value[rank ? rank - 1 : 0];
}

u64 samples_mean(const struct samples *s)
{
    return s->n ? (s->sum + s->n / 2) / s->n : 0;
}

void cell_begin(struct cell_clock *c)
{
    c->start = rdtsc();
    c->done = 0;
    c->batch_end = SAMPLES_WARMUP + SAMPLES_FIRST;
}

bool cell_continue(struct cell_clock *c)
{
    u64 spent = rdtsc() - c->start;
    if (c->done == c->batch_end) {
        if (spent >= tsc_from_us(CELL_ENOUGH_US) || c->done >= SAMPLES_WARMUP + SAMPLES_MAX)
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
