/* told: the initiator's ticks of one shootdown by the CPUs that are told, of the ways of telling that docs/benchmarks.md puts side by side:
 * sync, concurrent and early_ack one by one and by cluster, and a tree by fan-out. One page, mapped by the initiator and cached by kernel
 * loops on the others. With cpus=1 nobody is told: what is left is the price of the change itself.
 *
 * `scaling` asks the same of every policy, phases and targets included, which takes Bochs minutes for each at 15 CPUs: most of them for the
 * records, which leave at the speed of a serial line while the others spin. Here the responders have stopped before a record is
 * printed, so all of the table comes out of one boot (tools/instructions). */
#include "bench/bench.h"
#include "bench/counts.h"
#include "bench/effort.h"
#include "bench/shootdown_cell.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "smp/message.h"

/* The busy page keeps the table alive, so no cell frees one. */
#define BASE 0x0000170000000000ull

static const struct way {
    const char *policy;
    enum msg_delivery delivery;
    u32 fanout; /* 0: the policy has none */
} ways[] = {
    {"sync", MSG_DELIVERY_UNICAST, 0},       {"sync", MSG_DELIVERY_CLUSTER, 0},
    {"concurrent", MSG_DELIVERY_UNICAST, 0}, {"concurrent", MSG_DELIVERY_CLUSTER, 0},
    {"early_ack", MSG_DELIVERY_UNICAST, 0},  {"early_ack", MSG_DELIVERY_CLUSTER, 0},
    {"tree", MSG_DELIVERY_UNICAST, 2},       {"tree", MSG_DELIVERY_UNICAST, 4},
    {"tree", MSG_DELIVERY_UNICAST, 8},
};

static struct responders busy;

/* NULL, or why this cell is no figure. */
static const char *take(struct shootdown_cell *c, struct samples *s, struct bench_signals *took)
{
    struct bench_signals before = bench_signals_now();
    struct cell_clock clock;
    bool worked = true;
    u64 ticks;
    cell_begin(&clock);
    cell_watch(&clock, s);
    while (worked && cell_continue(&clock)) {
        shootdown_round_cache(c);
        worked = shootdown_round_operate(c, &ticks);
        if (!cell_warming_up(&clock))
            samples_add(s, ticks);
        bench_counts_pause();
        shootdown_round_restore(c);
        bench_counts_resume();
    }
    struct bench_signals now = bench_signals_now();
    took->irqs = now.irqs - before.irqs;
    took->icr = now.icr - before.icr;
    c->operations = clock.done;
    c->served_by = shootdown_served_by(c);
    if (!worked)
        return "did not take effect";
    if (!c->served_by)
        return "was served by two policies";
    return shootdown_find_unflushed(c, clock.done) == CPU_NONE ? NULL
                                                               : "did not make every CPU flush every time";
}

/* The responders touch only the busy page until a round begins, so the range is mapped after their start; they have ended before it goes. */
static u64 measure(struct bench_run *b, const struct way *w, u32 cpus)
{
    struct shootdown_cell c = {.bench = "told",
                               .op = "unmap",
                               .policy = shootdown_policy(),
                               .responders = &busy,
                               .space = busy.space,
                               .start = BASE + PAGE_SIZE,
                               .pages = 1,
                               .cpus = cpus};
    struct samples *s = samples_get(SAMPLES_INITIATOR);
    struct bench_signals took = {0};
    const char *wrong = NULL;
    err_t e = responders_start(&busy, cpus - 1);
    shootdown_rounds_begin(&c);
    if (e == ERR_OK)
        wrong = take(&c, s, &took);
    responders_stop(&busy);
    shootdown_rounds_end(&c);
    if (e != ERR_OK)
        wrong = err_name(e);
    if (wrong) {
        bench_refuse(b, "told: one page on %u CPUs by %s %s", cpus, w->policy, wrong);
        return 0;
    }
    struct bench_key k = {.bench = "told",
                          .policy = w->policy,
                          .served_by = c.served_by->name,
                          .op = c.op,
                          .responders = responder_kind_name(busy.kind),
                          .fanout = w->fanout,
                          .metric = "initiator",
                          .cpus = cpus,
                          .pages = 1,
                          .icr = took.icr * s->n / c.operations,
                          .irqs = took.irqs * s->n / c.operations};
    bench_record(&k, s);
    return samples_percentile(s, 500);
}

static void row(struct bench_run *b, const struct way *w, const struct bench_axis *cpus)
{
    char line[240];
    int n = format(line, sizeof(line), "  %-10s %-9s %3u", w->policy, msg_delivery_name(), w->fanout);
    for (u32 i = 0; i < cpus->count && !bench_out_of_time(); i++) {
        u64 p50 = measure(b, w, (u32)cpus->value[i]);
        if (n > 0 && (size_t)n < sizeof(line))
            n += format(line + n, sizeof(line) - (size_t)n, " %7llu", (unsigned long long)p50);
    }
    print("%s\n", line);
}

static bool wanted(const struct way *w)
{
    return !shootdown_policy_chosen() || strcmp(shootdown_policy()->name, w->policy) == 0;
}

static void run(struct bench_run *b)
{
    const struct shootdown_policy *before = shootdown_policy();
    const struct bench_axis *cpus = bench_axis_cpus();
    enum msg_delivery delivery = msg_delivery_get();
    u32 fanout = shootdown_fanout;
    if (!bench_axis_cpus_left(b))
        return;
    must_work(responders_open(&busy, RESPONDER_KERNEL, false), "a space for the responders");
    must_work(space_map_fresh(busy.space, BASE, 1, PT_WRITE, FRAME_OWNER_USER), "the busy page");
    busy.start = BASE + PAGE_SIZE;
    busy.pages = 1;
    busy.busy = BASE;
    print("  ticks (p50), by CPUs, the initiator included\n  %-10s %-9s %3s", "policy", "told by", "fan");
    for (u32 i = 0; i < cpus->count; i++)
        print(" %7llu", (unsigned long long)cpus->value[i]);
    print("\n");
    u32 rows = 0;
    for (u32 i = 0; i < ARRAY_SIZE(ways); i++) {
        const struct way *w = &ways[i];
        if (!wanted(w))
            continue;
        rows++;
        err_t e = shootdown_policy_set(w->policy);
        if (e != ERR_OK) {
            bench_refuse(b, "told: %s by %s", err_name(e), w->policy);
            continue;
        }
        msg_delivery_set(w->delivery);
        shootdown_fanout = w->fanout ? w->fanout : fanout;
        row(b, w, cpus);
        must_work(shootdown_policy_set(before->name), "selecting the policy before");
    }
    if (!rows)
        bench_refuse(b, "told: policy=%s is none of sync, concurrent, early_ack, tree", before->name);
    shootdown_fanout = fanout;
    msg_delivery_set(delivery);
    responders_close(&busy);
}
BENCH_ON_REQUEST(told, "ticks of one shootdown by the CPUs that are told, one by one, by cluster, in a tree",
                 run);
