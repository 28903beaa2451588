/* targets: what one shootdown costs by counter, not by time, and how that grows with the CPUs that have to be told.
 *
 *   icr    interrupt commands: of all CPUs (icr), of the initiator (icr.here), of the CPU that wrote most (icr.most)
 *   lines  cache lines that are fetched from another CPU, or taken from one for writing
 *   turns  of loops with a turn for each CPU: filling, ringing, waiting, serving, dealing out
 *   depth  messages one after the other from the initiator to the last target
 *
 * `concurrent` by unicast, by cluster and by what delivery= chooses, `tree` with several fan-outs, then the other policies as they come.
 * Counts repeat exactly, on any emulator; tests/shootdown_effort.c has the formulas. */
#include "bench/targets.h"

#include "bench/bench.h"
#include "bench/counts.h"
#include "bench/policies.h"
#include "kernel/cost.h"
#include "lib/assert.h"
#include "lib/atomic.h"
#include "lib/counter.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "mm/respond.h"
#include "smp/cpus.h"
#include "smp/message.h"

#define BASE   0x0000160000000000ull
#define ROUNDS 8u

/* ---- one shootdown, counted on each CPU ---- */

static void ignore(struct msg_in *in)
{
    (void)in;
}
MSG_KIND(bench_targets_settle, ignore);

static void settle(void)
{
    struct msg m = {.kind = &bench_targets_settle, .flags = MSG_SYNC};
    cpumask_t others;
    cpumask_clear(&others);
    cpumask_snapshot(&others, &cpus_online);
    cpumask_unset(&others, cpu_self());
    if (!cpumask_empty(&others) && msg_call_mask(&others, &m) != ERR_OK)
        panic("targets: a CPU does not answer");
}

void targets_count_begin(void)
{
    cost_count(true);
}

void targets_count_end(void)
{
    cost_count(false);
}

static void read_counters(struct target_counts counts[MAX_CPUS])
{
    const struct counter *icr = counter_find("icr_writes"), *lines = counter_find("cache_lines"),
                         *turns = counter_find("cpu_turns"), *sent = counter_find("msg_sent"),
                         *watched = counter_find("shootdown_watched");
    ASSERT(icr && lines && turns && sent && watched, "the counters of effort exist");
    for (cpu_t c = 0; c < cpu_count(); c++)
        counts[c] =
            (struct target_counts){counter_value(icr, c), counter_value(lines, c), counter_value(turns, c),
                                   counter_value(sent, c), counter_value(watched, c)};
}

static struct target_counts less(struct target_counts a, struct target_counts b)
{
    return (struct target_counts){a.icr - b.icr, a.lines - b.lines, a.turns - b.turns, a.sent - b.sent,
                                  a.watched - b.watched};
}

/* Who acknowledges on entry has flushed when a later message of ours has run; who has promised has at least entered. */
static bool has_reached_all(const struct space *s)
{
    tlb_gen_t gen = atomic_load_relaxed(&s->gen);
    CPUMASK_FOREACH (c, &s->active)
        if (!tlb_published(&s->cpu[c], gen, TLB_ENTERED) &&
            !tlb_published_by_nmi(&s->cpu[c], gen, TLB_ENTERED))
            return false;
    return true;
}

/* Settling twice costs twice the same: what it costs is known, and taken off. */
bool targets_shoot(struct space *s, vaddr_t va, struct target_counts counts[MAX_CPUS])
{
    static struct target_counts before[MAX_CPUS], once[MAX_CPUS], twice[MAX_CPUS];
    if (space_map_fresh(s, va, 1, PT_WRITE, FRAME_OWNER_TEST) != ERR_OK)
        return false;
    settle();
    read_counters(before);
    *(volatile u64 *)va = va; /* cached here */
    if (space_unmap(s, va, va + PAGE_SIZE) != ERR_OK || space_query(s, va).present)
        return false;
    settle();
    if (!has_reached_all(s))
        return false;
    read_counters(once);
    settle();
    read_counters(twice);
    for (cpu_t c = 0; c < cpu_count(); c++)
        counts[c] = less(less(once[c], before[c]), less(twice[c], once[c]));
    /* Not what the host makes of it. */
    for (cpu_t c = 0; c < cpu_count(); c++) {
        counts[c].lines -= counts[c].watched;
        counts[c].turns -= counts[c].watched;
    }
    return true;
}

/* Told in the order of their numbers, parents first: so the counts alone say who told whom. */
u32 targets_depth(const cpumask_t *of, const struct target_counts counts[MAX_CPUS], u32 below[MAX_CPUS])
{
    static struct {
        cpu_t cpu;
        u64 left; /* that it still has to tell */
    } path[MAX_CPUS];
    u32 depth = 0, deepest = 0;
    path[0].cpu = cpu_self();
    path[0].left = counts[cpu_self()].sent;
    below[cpu_self()] = 0;
    CPUMASK_FOREACH (c, of) {
        while (depth && !path[depth].left)
            depth--;
        if (!path[depth].left)
            return 0;
        path[depth].left--;
        for (u32 i = 0; i <= depth; i++)
            below[path[i].cpu]++;
        depth++;
        path[depth].cpu = c;
        path[depth].left = counts[c].sent;
        below[c] = 0;
        deepest = MAX(deepest, depth);
    }
    for (u32 i = 0; i <= depth; i++)
        if (path[i].left)
            return 0;
    return deepest;
}

/* ---- the benchmark ---- */

static struct responders busy;

enum metric {
    ICR,
    ICR_HERE,
    ICR_MOST,
    LINES,
    LINES_HERE,
    LINES_MOST,
    TURNS,
    TURNS_HERE,
    TURNS_MOST,
    DEPTH,
    METRICS
};
static const char *const metric_names[METRICS] = {"icr",        "icr.here",   "icr.most", "lines",
                                                  "lines.here", "lines.most", "turns",    "turns.here",
                                                  "turns.most", "depth"};

static void sum_up(const cpumask_t *of, const struct target_counts *counts, u64 value[METRICS])
{
    static u32 below[MAX_CPUS];
    memset(value, 0, METRICS * sizeof(value[0]));
    for (cpu_t c = 0; c < cpu_count(); c++) {
        value[ICR] += counts[c].icr;
        value[LINES] += counts[c].lines;
        value[TURNS] += counts[c].turns;
        if (c == cpu_self())
            continue;
        value[ICR_MOST] = MAX(value[ICR_MOST], counts[c].icr);
        value[LINES_MOST] = MAX(value[LINES_MOST], counts[c].lines);
        value[TURNS_MOST] = MAX(value[TURNS_MOST], counts[c].turns);
    }
    value[ICR_HERE] = counts[cpu_self()].icr;
    value[LINES_HERE] = counts[cpu_self()].lines;
    value[TURNS_HERE] = counts[cpu_self()].turns;
    value[DEPTH] = targets_depth(of, counts, below);
}

static void measure(struct bench_run *b, const struct shootdown_policy *p, const char *how, u32 fanout,
                    u32 cpus)
{
    static struct target_counts counts[MAX_CPUS];
    struct samples *s[METRICS];
    u64 value[METRICS];
    cpumask_t targets;
    cpumask_clear(&targets);
    cpumask_snapshot(&targets, &busy.space->active);
    cpumask_unset(&targets, cpu_self());
    for (u32 m = 0; m < METRICS; m++)
        s[m] = samples_get(m);
    for (u32 i = 0; i < ROUNDS; i++) {
        if (!targets_shoot(busy.space, BASE + PAGE_SIZE, counts)) {
            bench_refuse(b, "targets: a page could not be mapped and unmapped under %s", p->name);
            return;
        }
        sum_up(&targets, counts, value);
        for (u32 m = 0; m < METRICS; m++)
            samples_add(s[m], value[m]);
    }
    char line[160];
    int n = format(line, sizeof(line), "  %-12s %-10s %4u", p->name, how, cpus);
    for (u32 m = 0; m < METRICS; m++) {
        struct bench_key k = {.bench = "targets",
                              .policy = p->name,
                              .served_by = shootdown_route(p, TLB_ENTERED, false)->name,
                              .op = "unmap",
                              .responders = "kernel",
                              .fanout = fanout,
                              .metric = metric_names[m],
                              .unit = "count",
                              .cpus = cpus,
                              .pages = 1};
        bench_record(&k, s[m]);
        if (n > 0 && (size_t)n < sizeof(line))
            n += format(line + n, sizeof(line) - (size_t)n, " %10llu",
                        (unsigned long long)samples_percentile(s[m], 500));
    }
    print("%s\n", line);
}

static void all_of(struct bench_run *b, u32 cpus)
{
    static const u32 fanouts[] = {2, 4, 8, 16};
    static const enum msg_delivery deliveries[] = {MSG_DELIVERY_UNICAST, MSG_DELIVERY_CLUSTER,
                                                   MSG_DELIVERY_AUTO};
    enum msg_delivery delivery = msg_delivery_get();
    u32 fanout = shootdown_fanout;
    struct bench_policies policies = bench_policies();
    for (u32 i = 0; i < policies.count; i++) {
        const struct shootdown_policy *p = policies.policy[i];
        char how[16];
        if (shootdown_policy_set(p->name) != ERR_OK || shootdown_policy_defers(p))
            continue;
        if (strcmp(p->name, "tree") == 0) {
            for (u32 f = 0; f < ARRAY_SIZE(fanouts); f++) {
                shootdown_fanout = fanouts[f];
                format(how, sizeof(how), "fanout=%u", fanouts[f]);
                measure(b, p, how, fanouts[f], cpus);
            }
            shootdown_fanout = fanout;
        } else if (strcmp(p->name, "concurrent") == 0) {
            for (u32 d = 0; d < ARRAY_SIZE(deliveries); d++) {
                msg_delivery_set(deliveries[d]);
                measure(b, p, msg_delivery_name(), 0, cpus);
            }
            msg_delivery_set(delivery);
        } else {
            measure(b, p, msg_delivery_name(), 0, cpus);
        }
    }
}

static void run(struct bench_run *b)
{
    if (bench_counting() || !bench_axis_cpus_left(b)) /* it is nothing but counting */
        return;
    const struct shootdown_policy *before = shootdown_policy();
    const struct bench_axis *axis = bench_axis_cpus();
    if (responders_open(&busy, RESPONDER_KERNEL, false) != ERR_OK ||
        space_map_fresh(busy.space, BASE, 1, PT_WRITE, FRAME_OWNER_USER) != ERR_OK)
        panic("targets: no memory for a page");
    busy.start = busy.busy = BASE; /* it stays: they are busy with it, and nothing else */
    busy.pages = 1;
    print("  %-12s %-10s %4s", "policy", "told by", "CPUs");
    for (u32 m = 0; m < METRICS; m++)
        print(" %10s", metric_names[m]);
    print("   (here: the initiator; most: of any other CPU)\n");
    targets_count_begin();
    for (u32 i = 0; i < axis->count && !bench_out_of_time(); i++) {
        u32 cpus = (u32)axis->value[i];
        if (cpus < 2)
            continue;
        err_t e = responders_start(&busy, cpus - 1);
        if (e == ERR_OK) {
            responders_cache(&busy); /* so all are there */
            all_of(b, cpus);
        } else {
            bench_refuse(b, "targets: the busy CPUs could not be started: %s", err_name(e));
        }
        responders_stop(&busy);
    }
    targets_count_end();
    if (shootdown_policy_set(before->name) != ERR_OK)
        panic("targets: the policy before cannot be set again");
    responders_close(&busy);
}
BENCH_ON_REQUEST(targets, "interrupts, lines and turns of one shootdown, by counter and number of CPUs", run);
