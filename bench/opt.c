/* opt: the switches of the EuroSys 2020 series, one on top of the other, as its cumulative table has them; opts=single: each by itself.
 *
 * N. Amit, A. Tai, M. Wei, "Don't shoot down TLB shootdowns!", EuroSys 2020. Rows are sets of switches, columns what is measured:
 *   discard  a system call of ring 3 that gives 1 or 10 touched pages back (the paper's madvise), on 1, 2 and 4 CPUs
 *   turn     the same for one page, and touching it again, fault included
 *   copy     a copy-on-write fault, of kernel code (bench/opt_copy.c)
 * A boot with pti=on is the paper's safe mode, one without its unsafe mode. Ratios are to `none` of the same boot. What published ratios there
 * are to compare with, and what makes them differ: docs/opt.md. */
#include "bench/opt.h"

#include "apic/apic.h"
#include "bench/counts.h"
#include "bench/effort.h"
#include "bench/initiator.h"
#include "kernel/cost.h"
#include "lib/assert.h"
#include "lib/counter.h"
#include "lib/features.h"
#include "lib/log.h"
#include "lib/param.h"
#include "lib/string.h"
#include "smp/cpus.h"

#define ROUNDS (SAMPLES_WARMUP + 64u)

static const struct {
    const char *name;
    u32 bit;
} steps[] = {{"none", 0},        {"concurrent", OPT_CONCURRENT}, {"ack", OPT_ACK},
             {"line", OPT_LINE}, {"incontext", OPT_INCONTEXT},   {"cow", OPT_COW}};
#define STEPS ARRAY_SIZE(steps)

enum kind { DISCARD, TURN, COPY };
static const struct {
    const char *name;
    enum kind kind;
    u32 cpus, pages;
} loads[] = {
    {"discard", DISCARD, 1, 1},  {"discard", DISCARD, 1, 10}, {"discard", DISCARD, 2, 1},
    {"discard", DISCARD, 2, 10}, {"discard", DISCARD, 4, 1},  {"discard", DISCARD, 4, 10},
    {"turn", TURN, 2, 1},        {"turn", TURN, 4, 1},        {"copy", COPY, 1, 1},
    {"copy", COPY, 2, 1},        {"copy", COPY, 4, 1},
};
#define LOADS ARRAY_SIZE(loads)

static u64 result[STEPS][LOADS]; /* p50; 0: not measured */

static bool single;

static const char *set_opts(const char *value)
{
    single = strcmp(value, "single") == 0;
    return single || strcmp(value, "cumulative") == 0 ? NULL : "opts=cumulative or opts=single";
}
PARAM(opts, "opts",
      "opts=cumulative|single: the rows of bench=opt: each switch on top of the last, or by itself",
      set_opts);

static u32 set_of(u32 step)
{
    u32 set = steps[step].bit;
    for (u32 i = 0; i < step && !single; i++)
        set |= steps[i].bit;
    return set;
}

/* ---- in ring 3 ---- */

/* Did every other CPU forget the pages in every round? The last round's flush may come behind the end. */
static bool all_have_forgotten(const struct initiator *c, const u64 *before)
{
    for (u32 i = 1; i < c->cpus; i++) {
        cpu_t cpu = (cpu_t)c->w->thread[i].cpu;
        if (cpu >= cpu_count() || initiator_forgotten(c, cpu) - before[cpu] < (c->rounds - 1) * c->pages)
            return false;
    }
    return true;
}

static u64 measure_call(struct bench_run *b, u32 load)
{
    static u64 before[MAX_CPUS];
    struct initiator c = {.op = loads[load].kind == TURN ? WORKLOAD_RENEW : WORKLOAD_DISCARD,
                          .cpus = loads[load].cpus,
                          .pages = loads[load].pages,
                          .rounds = ROUNDS};
    struct samples *s = samples_get(SAMPLES_INITIATOR);
    const struct counter *taken = counter_find("msg_interrupts");
    const struct shootdown_policy *p = shootdown_policy();
    ASSERT(taken, "the counter of message interrupts exists");
    bench_effort_begin();
    for (cpu_t cpu = 0; cpu < cpu_count(); cpu++)
        before[cpu] = initiator_forgotten(&c, cpu);
    u64 irqs = counter_sum(taken), icr = apic_icr_writes(), p50 = 0;
    const char *wrong = bench_counting() ? initiator_count(&c) : initiator_run(&c);
    irqs = counter_sum(taken) - irqs;
    icr = apic_icr_writes() - icr;
    if (!wrong && !all_have_forgotten(&c, before))
        wrong = "did not make every CPU forget the pages every time";
    if (wrong) {
        bench_refuse(b, "opt: %s of %u pages on %u CPUs %s", loads[load].name, loads[load].pages,
                     loads[load].cpus, wrong);
    } else {
        initiator_samples(&c, s);
        struct bench_key k = {.bench = "opt",
                              .policy = p->name,
                              .served_by = shootdown_route_lax(p, TLB_ENTERED, false)->name,
                              .op = loads[load].name,
                              .responders = "ring3",
                              .metric = "initiator",
                              .cpus = loads[load].cpus,
                              .pages = loads[load].pages,
                              .icr = icr * s->n / ROUNDS,
                              .irqs = irqs * s->n / ROUNDS};
        bench_record(&k, s);
        p50 = samples_percentile(s, 500);
    }
    initiator_close(&c);
    return p50;
}

/* ---- the table ---- */

/* "-22.4%" from -224. */
static int percent(char *out, size_t size, s64 n)
{
    char text[16];
    format(text, sizeof(text), "%s%llu.%llu%%", n < 0 ? "-" : "+",
           (unsigned long long)((n < 0 ? -n : n) / 10), (unsigned long long)((n < 0 ? -n : n) % 10));
    return format(out, size, "%7s", text);
}

static void print_load(u32 load)
{
    char line[160];
    int n = format(line, sizeof(line), "  %-8s %4u %5u %8llu", loads[load].name, loads[load].cpus,
                   loads[load].pages, (unsigned long long)result[0][load]);
    for (u32 i = 1; i < STEPS && result[0][load]; i++) {
        n += format(line + n, sizeof(line) - (size_t)n, " %8llu", (unsigned long long)result[i][load]);
        if (result[i][load])
            n +=
                percent(line + n, sizeof(line) - (size_t)n, bench_permille(result[i][load], result[0][load]));
    }
    if (result[0][load])
        print("%s\n", line);
}

/* Figures that were published, of the same loop or call: by how many thousandths `to` is less than `from`. */
static const struct {
    const char *op, *source;
    u32 cpus, pages;
    bool pti;
    u32 from, to; /* steps */
    u64 before, after;
} published[] = {
    {"turn", "Haswell, ns, RFC v2 of May 2019", 2, 1, false, 0, 1, 1436, 1225},
    {"turn", "the same, corrected", 2, 1, false, 0, 2, 1436, 1115},
    {"turn", "Haswell, ns, RFC v2 of May 2019", 4, 1, false, 0, 1, 1571, 1421},
    {"turn", "the same, corrected", 4, 1, false, 0, 2, 1571, 1289},
    {"discard", "Skylake, cycles, RFC on deferred flushes with PTI", 1, 1, true, 3, 4, 2119, 1986},
    {"discard", "the same", 1, 10, true, 3, 4, 6791, 5417},
};

static void print_published(void)
{
    bool any = false;
    for (u32 i = 0; i < ARRAY_SIZE(published) && !single; i++)
        for (u32 load = 0; load < LOADS; load++) {
            u64 from = result[published[i].from][load], to = result[published[i].to][load];
            if (strcmp(loads[load].name, published[i].op) || loads[load].cpus != published[i].cpus ||
                loads[load].pages != published[i].pages || published[i].pti != features.pti || !from || !to)
                continue;
            char here[16], there[16];
            percent(here, sizeof(here), bench_permille(to, from));
            percent(there, sizeof(there), bench_permille(published[i].after, published[i].before));
            if (!any)
                print("  beside published figures, from one step to another:\n");
            any = true;
            print("  %-8s %4u %5u  %s to %s: here %s, published %s (%llu to %llu; %s)\n", published[i].op,
                  published[i].cpus, published[i].pages, steps[published[i].from].name,
                  steps[published[i].to].name, here, there, (unsigned long long)published[i].before,
                  (unsigned long long)published[i].after, published[i].source);
        }
    if (!any)
        print("  no published figures to compare with in this mode\n");
}

static void measure_row(struct bench_run *b, u32 step)
{
    if (opt_choose(set_of(step)) != ERR_OK) {
        bench_refuse(b, "opt: the switches %s cannot be chosen here", steps[step].name);
        return;
    }
    for (u32 load = 0; load < LOADS; load++) {
        if (loads[load].cpus > cpu_online_count() || bench_out_of_time())
            continue;
        result[step][load] =
            loads[load].kind == COPY ? opt_measure_copy(b, loads[load].cpus) : measure_call(b, load);
    }
}

static void run(struct bench_run *b)
{
    const struct shootdown_policy *before = shootdown_policy();
    bool was_chosen = opt_is_chosen();
    u32 set = opt_chosen();
    memset(result, 0, sizeof(result));
    for (u32 i = 0; i < STEPS; i++)
        measure_row(b, i);
    opt_forget();
    if ((was_chosen && opt_choose(set) != ERR_OK) || shootdown_policy_set(before->name) != ERR_OK)
        panic("opt: the switches before cannot be set again");
    print("\n  %s mode (pti=%s), cost model: %s; ticks, and against none\n  %-8s %4s %5s %8s",
          features.pti ? "safe" : "unsafe", features.pti ? "on" : "off", cost_model_name(), "", "CPUs",
          "pages", "none");
    for (u32 i = 1; i < STEPS; i++)
        print(" %s%-14s", single ? " " : "+", steps[i].name);
    print("\n");
    for (u32 load = 0; load < LOADS; load++)
        print_load(load);
    print_published();
    if (emulator == EMULATOR_TCG)
        print(
            "  TCG: these ticks are the host's, and nothing is to be read out of them; cow does not apply\n");
}
BENCH_ON_REQUEST(opt, "the switches of EuroSys 2020, one on top of the other (opts=, pti=)", run);
