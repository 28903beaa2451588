#include "bench/initiator.h"

#include "bench/bench.h"
#include "bench/counts.h"
#include "lib/assert.h"
#include "lib/atomic.h"
#include "lib/counter.h"
#include "smp/cpus.h"

#define RUN_LIMIT_MS 60000u /* hang detector */

static err_t start(struct initiator *c)
{
    thread_handle_t h;
    cpu_t cpu = cpu_self();
    err_t e = ERR_OK;
    /* The initiator last: it waits for nobody who may not come. */
    for (u32 i = c->cpus; e == ERR_OK && i-- > 0;) {
        for (cpu = i ? cpu + 1 : 0; i && !cpu_is_online(cpu); cpu++)
            ;
        e = process_start(c->process, cpu, WORKLOAD_VA + i, &h);
    }
    return e;
}

static err_t create(struct initiator *c)
{
    void *view;
    err_t e = process_create("initiator", &c->process);
    if (e != ERR_OK) {
        c->process = NULL;
        return e;
    }
    e = process_share_pages(c->process, WORKLOAD_VA, ALIGN_UP(sizeof(*c->w), PAGE_SIZE) / PAGE_SIZE, &view);
    if (e != ERR_OK)
        return e;
    c->w = view;
    c->w->op = c->op;
    c->w->start = INITIATOR_RANGE;
    c->w->busy = WORKLOAD_VA; /* stays, whatever is done to the range */
    c->w->pages = c->pages;
    c->w->threads = c->cpus - 1;
    c->w->count = c->rounds;
    return ERR_OK;
}

const char *initiator_run(struct initiator *c)
{
    s64 status = 0;
    if (create(c) != ERR_OK)
        return "has no process (the program initiator)";
    err_t e = start(c);
    if (e != ERR_OK)
        process_kill(c->process);
    if (process_wait(c->process, RUN_LIMIT_MS, &status) != ERR_OK) {
        process_kill(c->process);
        if (process_wait(c->process, RUN_LIMIT_MS, NULL) != ERR_OK)
            panic("the initiator in ring 3 has not ended");
        return "did not end in time";
    }
    if (e != ERR_OK)
        return "has no threads";
    if (status || c->w->verdict.failures)
        return "failed in ring 3, as the console says";
    if (c->w->samples != c->rounds)
        return "ended before its last round";
    return NULL;
}

void initiator_close(struct initiator *c)
{
    if (c->process)
        process_unref(c->process);
    c->process = NULL;
    c->w = NULL;
}

const char *initiator_count(struct initiator *c)
{
    struct initiator few = *c;
    few.rounds = SAMPLES_WARMUP;
    bench_counts_cell_begin();
    const char *wrong = initiator_run(&few);
    initiator_close(&few);
    bench_counts_deduct();
    if (!wrong)
        wrong = initiator_run(c);
    bench_counts_cell_end(wrong ? 0 : c->rounds - few.rounds);
    return wrong;
}

static u64 value_of(const char *name, cpu_t cpu)
{
    const struct counter *c = counter_find(name);
    ASSERT(c, "the counters that prove a flush exist");
    return counter_value(c, cpu);
}

u64 initiator_forgotten(const struct initiator *c, cpu_t cpu)
{
    u64 whole = value_of("tlb_flush_space", cpu) + value_of("tlb_flush_all", cpu);
    return value_of("tlb_flush_pages", cpu) + whole * c->pages;
}

void initiator_samples(const struct initiator *c, struct samples *s)
{
    /* orders: the samples after their number; pairs with: user/initiator.c:add_sample (release); else: one could be read before it
     * was there. */
    u64 n = MIN(atomic_load_acquire(&c->w->samples), WORKLOAD_SAMPLES);
    for (u64 i = SAMPLES_WARMUP; i < n; i++)
        samples_add(s, c->w->sample[i]);
}
