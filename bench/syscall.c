/* syscall: what a system call costs in ring 3, and what it costs to take memory away by one from threads that use it.
 *
 * One cell is (call, CPUs, pages, policy): a process of the program `initiator`, whose first thread times its own calls on CPU 0, one
 * thread on each other CPU keeping the range cached. The figures are those of ring 3: from before the SYSCALL to behind it, by RDTSC.
 * A call's own price is its p50 less that of the same cell on 1 CPU. */
#include "bench/bench.h"
#include "bench/counts.h"
#include "bench/effort.h"
#include "bench/initiator.h"
#include "bench/policies.h"
#include "lib/assert.h"
#include "lib/log.h"
#include "mm/shootdown.h"
#include "smp/cpus.h"

#define ROUNDS_LEAST 32u
#define ROUNDS_PAGES 512u /* rounds times pages, where that is more */

static const char *const op_names[] = {[WORKLOAD_NULL] = "null",
                                       [WORKLOAD_DISCARD] = "discard",
                                       [WORKLOAD_UNMAP] = "unmap",
                                       [WORKLOAD_PROTECT] = "protect"};

static u64 forgotten[MAX_CPUS]; /* initiator_forgotten before the cell */

/* Was every entry cached before its call, and gone after? NULL if so. */
static const char *find_doubt(const struct initiator *c)
{
    for (u32 i = 1; i < c->cpus && c->op != WORKLOAD_NULL; i++) {
        const struct workload_thread *t = &c->w->thread[i];
        if (t->rounds != c->rounds)
            return "had rounds in which a responder did not touch the range";
        cpu_t cpu = (cpu_t)t->cpu;
        /* The last round's flush may come behind the end. */
        if (cpu >= cpu_count() || initiator_forgotten(c, cpu) - forgotten[cpu] < (c->rounds - 1) * c->pages)
            return "did not make every responder flush every time";
    }
    return NULL;
}

/* Of the calls here, discards and unmaps need no more than that memory is not reused too early; protect needs its level at return. */
static const struct shootdown_policy *served_by(const struct initiator *c, const struct shootdown_policy *p)
{
    return c->op == WORKLOAD_PROTECT ? shootdown_route(p, TLB_FLUSHED, false)
                                     : shootdown_route_lax(p, TLB_ENTERED, false);
}

static u64 collect(const struct initiator *c, const struct shootdown_policy *policy,
                   struct bench_signals before)
{
    struct samples *s = samples_get(SAMPLES_INITIATOR);
    initiator_samples(c, s);
    struct bench_key k = {.bench = "syscall",
                          .op = op_names[c->op],
                          .responders = "ring3",
                          .metric = "initiator",
                          .cpus = c->cpus,
                          .pages = c->pages};
    bench_signals_record(&k, before, c->rounds, s->n);
    if (policy) {
        k.policy = policy->name;
        k.served_by = served_by(c, policy)->name;
    }
    bench_record(&k, s);
    return samples_percentile(s, 500);
}

/* The median, 0 if the cell was refused. */
static u64 measure(struct bench_run *b, struct initiator *c, const struct shootdown_policy *policy)
{
    c->rounds = SAMPLES_WARMUP + MAX(ROUNDS_LEAST, ROUNDS_PAGES / MAX(c->pages, 2));
    bench_effort_begin();
    for (cpu_t cpu = 0; cpu < cpu_count(); cpu++)
        forgotten[cpu] = initiator_forgotten(c, cpu);
    struct bench_signals before = bench_signals_now();
    u64 p50 = 0;
    const char *wrong = initiator_run(c);
    if (!wrong)
        wrong = find_doubt(c);
    if (wrong)
        bench_refuse(b, "call %s of %llu pages on %u CPUs by %s %s", op_names[c->op],
                     (unsigned long long)c->pages, c->cpus, policy ? policy->name : "no policy", wrong);
    else
        p50 = collect(c, policy, before);
    initiator_close(c);
    return p50;
}

/* All policies: a line of the table, printed when its records are. */
static void row(struct bench_run *b, struct initiator *c, const struct bench_policies *policies)
{
    const struct shootdown_policy *before = shootdown_policy();
    char line[200];
    int n = format(line, sizeof(line), "  %-8s %4u %5llu", op_names[c->op], c->cpus,
                   (unsigned long long)c->pages);
    for (u32 i = 0; i < policies->count; i++) {
        const struct shootdown_policy *p = policies->policy[i];
        err_t e = shootdown_policy_set(p->name);
        ASSERT(e == ERR_OK, "a usable policy can be selected");
        u64 p50 = measure(b, c, p);
        if ((size_t)n < sizeof(line))
            n += format(line + n, sizeof(line) - (size_t)n, " %11llu%s", (unsigned long long)p50,
                        served_by(c, p) != p ? "*" : " ");
    }
    print("%s\n", line);
    err_t e = shootdown_policy_set(before->name);
    ASSERT(e == ERR_OK, "the policy before can be selected");
}

static void run(struct bench_run *b)
{
    /* Ring 3 makes its pages usable again in each round, which cannot be told from the call: `shootdown` has the counts. */
    if (bench_counting() || !bench_axis_cpus_left(b))
        return;
    static const struct bench_axis usual = {.count = 2, .value = {1, 32}};
    const struct bench_axis *cpus = bench_axis_cpus(),
                            *pages = bench_axis_pages_chosen() ? bench_axis_pages() : &usual;
    const struct bench_policies policies = bench_policies();
    struct initiator null = {.op = WORKLOAD_NULL, .cpus = 1};
    print("\n  null system call: %llu ticks (p50)\n", (unsigned long long)measure(b, &null, NULL));
    print("\n  %-8s %4s %5s", "ticks", "CPUs", "pages");
    for (u32 i = 0; i < policies.count; i++)
        print(" %11s ", policies.policy[i]->name);
    print("  (p50)\n");
    for (u32 op = WORKLOAD_DISCARD; op < ARRAY_SIZE(op_names); op++)
        for (u32 j = 0; j < pages->count; j++)
            for (u32 i = 0; i < cpus->count; i++) {
                struct initiator c = {.op = op, .cpus = (u32)cpus->value[i], .pages = pages->value[j]};
                if (!bench_out_of_time())
                    row(b, &c, &policies);
            }
    print("  * needs more than this policy serves, and took the path of concurrent (served_by)\n");
}
BENCH(syscall, "system calls of ring 3 that take memory away from other threads", run);
