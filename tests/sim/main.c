/* The adversary's command line: see tools/adversary. */
#include "tests/sim/explore.h"
#include "tests/sim/scenario.h"
#include "tests/sim/std.h"

#include "mm/opt.h"

/* Those that matter most come in full; the others, and machines of more than two CPUs, with one deviation less. */
static const struct sim_config configs[] = {
    {"plain", false, false, false, false, false, 0},
    {"global", false, false, true, true, false, 0},
    {"pcid", true, false, true, true, false, 0},
    {"invpcid", true, true, true, false, false, 0},
    {"pcid_local", true, false, false, false, false, 0}, /* PCIDs, but no global pages */
    {"nmi", false, false, true, false, true, 0},
    {"nmi_invpcid", true, true, true, false, true, 0},
    {"nmi_local", true, true, false, false, true, 0}, /* the TLB of delivery=nmi with pti=on */
    {"split", false, false, true, false, false, OPT_LINE},
    {"split_serial", true, true, true, false, false, OPT_LINE | OPT_CONCURRENT},
    {"cow", true, true, true, false, false, OPT_COW},
};

#define WORDS_MAX         8u
#define DEVIATIONS_RANDOM 12u
#define RANDOM_MANY       8u /* times more schedules at random with more than two CPUs */
#define HUNT_BOUND        3u /* of a hunt in one cell, where its scenario goes as deep */

static struct options {
    const char *scenario, *policy, *config, *replay, *word[WORDS_MAX];
    u32 bound, words;
    u64 limit; /* of schedules: of each cell, of a whole hunt */
    u64 random, seed;
    u64 seeds;                  /* of a hunt: how many to try at random, too */
    u64 schedules, many_random; /* so far; at random on more than two CPUs */
    u64 part, parts;            /* only every parts'th cell, from `part` on */
    bool quiet;                 /* no timelines */
    bool figures;
    bool hunt; /* for a mutant */
    bool full; /* no cell with less than the bound */
} * options;   /* on the heap, as all that must outlive the runs */

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void show_failure(const struct run *run)
{
    char schedule[1024];
    plan_format(&run->taken, schedule, sizeof(schedule));
    sim_trace_reset();
    struct plan plan = run->taken;
    explore_run(&plan, true);
    printf("     | %s\n     | schedule \"%s\"%s\n", run->why, schedule,
           explorer->run.failed ? "" : " (did not fail again: the machine is not deterministic)");
    if (!options->quiet)
        sim_trace_print();
}

/* One line for tools/adversary. */
static void report(const char *result, const struct sim_scenario *s, const char *policy,
                   const struct sim_config *c, const struct result *r, double took, const char *why)
{
    printf(
        "%s %s/%s/%s: %llu schedules, %.1f steps each, %.1f us each, %s%s\n", result, s->name, policy,
        c->name, (unsigned long long)r->schedules, r->schedules ? (double)r->steps / (double)r->schedules : 0,
        r->schedules ? took * 1e6 / (double)r->schedules : 0, r->complete ? "complete" : "not complete", why);
    fflush(stdout);
}

/* Each policy goes through each scenario in depth with PCIDs or without; where only one policy or one kind of machine matters,
 * with both. */
static bool is_deep(const struct sim_scenario *s, const struct shootdown_policy *p,
                    const struct sim_config *c)
{
    u32 letters = 0;
    for (const char *name = p->name; *name; name++)
        letters += (u8)*name;
    return c->full && (s->needs_pcid || s->one_policy || (letters & 1) == c->pcid);
}

static bool run_cell(const struct sim_scenario *s, const struct shootdown_policy *p,
                     const struct sim_config *c)
{
    struct result r = {0};
    bool must_fail = p->control;
    if (!explore_setup(s, p->name, c)) {
        report("FAIL", s, p->name, c, &r, 0, ", its setup fails");
        printf("     | %s\n", explorer->run.why);
        return false;
    }
    if (options->replay) {
        struct plan plan;
        if (!plan_parse(options->replay, &plan)) {
            printf("a schedule is a list of STEP.CHOICE\n");
            return false;
        }
        sim_trace_reset();
        explorer->all_shared = true;
        explore_run(&plan, true);
        sim_trace_print();
        printf("%s\n", explorer->run.failed ? explorer->run.why : "this run ends well");
        return !explorer->run.failed;
    }
    double start = seconds();
    u32 bound = s->bound ? MAX(s->bound, options->bound) : options->bound;
    if (!options->full && (!is_deep(s, p, c) || s->cpus > 2 || s->slow))
        bound -= bound > 1;
    explore_bounded(bound, options->limit, &r);
    if (options->random && !r.failures) {
        bool complete = r.complete;
        /* With three CPUs the exhaustive part reaches less far. */
        u64 before = r.schedules;
        explore_random(options->seed, options->random * (s->cpus > 2 ? RANDOM_MANY : 1), DEVIATIONS_RANDOM,
                       &r);
        r.complete = complete;
        if (s->cpus > 2)
            options->many_random += r.schedules - before;
    }
    options->schedules += r.schedules;
    double took = seconds() - start;
    bool ok = must_fail ? r.failures > 0 : !r.failures;
    report(ok ? "PASS" : "FAIL", s, p->name, c, &r, took,
           must_fail ? r.failures ? ", control caught" : ", the control was not caught" : "");
    if (r.failures && !must_fail)
        show_failure(&r.failed);
    return ok;
}

static bool wanted(const struct sim_scenario *s, const struct shootdown_policy *p, const struct sim_config *c)
{
    char name[128];
    if ((p->control && !s->control) || (s->one_policy && strcmp(p->name, "early_ack")) ||
        (s->policy && strcmp(p->name, s->policy)) || (s->needs_pcid && !c->pcid) ||
        (c->nmi && (!p->post_nmi || s->one_policy)) || (c->opt && !p->post_split) ||
        (c->opt == OPT_COW && !s->copies))
        return false;
    if ((options->scenario && strcmp(options->scenario, s->name)) ||
        (options->policy && strcmp(options->policy, p->name)) ||
        (options->config && strcmp(options->config, c->name)))
        return false;
    snprintf(name, sizeof(name), "%s/%s/%s", s->name, p->name, c->name);
    for (u32 i = 0; i < options->words; i++)
        if (!strstr(name, options->word[i]))
            return false;
    return true;
}

/* For a mutant: any failure will do, the cheapest first. Where a scenario is named, everything up to its bound; else only so deep as
 * that all cells together take minutes. Then at random. */
static bool is_hunted(const struct sim_scenario *s, const struct shootdown_policy *p,
                      const struct sim_config *c, u32 bound)
{
    if (p->control || !wanted(s, p, c))
        return false;
    return options->scenario ? bound <= MAX(options->bound, s->bound)
                             : bound <= 1 || (bound <= options->bound && c->full && s->cpus <= 2 && !s->slow);
}

/* Schedules to the first failure, for each of some seeds: "-" where there was none. */
static void hunt_at_random(void)
{
    printf("at random:");
    for (u64 seed = 1; seed <= options->seeds; seed++) {
        struct result r = {0};
        explore_random(seed, options->random, DEVIATIONS_RANDOM, &r);
        if (r.failures)
            printf(" %llu", (unsigned long long)r.schedules);
        else
            printf(" -");
    }
    printf("\n");
}

static bool hunt_cell(const struct sim_scenario *s, const struct shootdown_policy *p,
                      const struct sim_config *c, u32 bound, u64 *total)
{
    struct result r = {0};
    u64 left = options->limit - *total;
    if (!explore_setup(s, p->name, c)) {
        r = (struct result){.failures = 1, .schedules = 1, .failed = explorer->run};
    } else {
        explore_exactly(bound, left, &r);
        if (!r.failures && r.schedules < left && options->random && !is_hunted(s, p, c, bound + 1))
            explore_random(options->seed, MIN(options->random, left - r.schedules - 1), DEVIATIONS_RANDOM,
                           &r);
    }
    *total += r.schedules;
    if (!r.failures)
        return false;
    char schedule[1024];
    plan_format(&r.failed.taken, schedule, sizeof(schedule));
    printf("killed by %s/%s/%s after %llu schedules: %s\nschedule %s\n", s->name, p->name, c->name,
           (unsigned long long)*total, r.failed.why, schedule);
    if (options->seeds)
        hunt_at_random();
    return true;
}

static int hunt(void)
{
    u64 total = 0;
    for (u32 bound = 0; bound <= (options->scenario ? HUNT_BOUND : options->bound); bound++)
        TABLE_FOREACH (sim_scenario, struct sim_scenario, s)
            TABLE_FOREACH (policy, struct shootdown_policy, p)
                for (u32 c = 0; c < ARRAY_SIZE(configs); c++)
                    if (total < options->limit && is_hunted(s, p, &configs[c], bound) &&
                        hunt_cell(s, p, &configs[c], bound, &total))
                        return 0;
    printf("survived %llu schedules\n", (unsigned long long)total);
    return 0;
}

/* False: not an option. */
static bool set_option(const char *key, const char *value)
{
    struct {
        const char *key, **text;
        u64 *number;
    } known[] = {
        {"scenario", &options->scenario, NULL}, {"policy", &options->policy, NULL},
        {"config", &options->config, NULL},     {"replay", &options->replay, NULL},
        {"limit", NULL, &options->limit},       {"random", NULL, &options->random},
        {"seed", NULL, &options->seed},         {"seeds", NULL, &options->seeds},
        {"part", NULL, &options->part},         {"parts", NULL, &options->parts},
    };
    for (u32 i = 0; i < ARRAY_SIZE(known); i++) {
        if (strcmp(key, known[i].key))
            continue;
        if (known[i].text)
            *known[i].text = value;
        else
            *known[i].number = strtoull(value, NULL, 0);
        return true;
    }
    if (!strcmp(key, "word") && options->words < WORDS_MAX)
        options->word[options->words++] = value;
    else if (!strcmp(key, "bound"))
        options->bound = (u32)strtoul(value, NULL, 0);
    else
        return false;
    return true;
}

static void list_scenarios(void)
{
    TABLE_FOREACH (sim_scenario, struct sim_scenario, s)
        printf("  %-24s %u CPUs: %s\n", s->name, s->cpus, s->what);
}

int main(int argc, char **argv)
{
    options = calloc(1, sizeof(*options));
    *options = (struct options){.bound = 2, .limit = ~0ull, .parts = 1};
    for (int i = 1; i < argc; i++) {
        char *value = strchr(argv[i], '=');
        if (value)
            *value++ = 0;
        if (!strcmp(argv[i], "list")) {
            list_scenarios();
            return 0;
        }
        if (!strcmp(argv[i], "quiet"))
            options->quiet = true;
        else if (!strcmp(argv[i], "full"))
            options->full = true;
        else if (!strcmp(argv[i], "hunt"))
            options->hunt = true;
        else if (!strcmp(argv[i], "figures"))
            options->figures = true;
        else if (!value || !set_option(argv[i], value)) {
            fprintf(stderr, "%s: not an option; tools/adversary --help\n", argv[i]);
            return 2;
        }
    }
    sim_trace_init();
    sim_lines_reset();
    explore_init();
    if (options->figures) {
        bool good = sim_figures();
        printf("end figures\n");
        return !good;
    }
    if (options->hunt)
        return hunt();
    u32 cells = 0, bad = 0, all = 0;
    TABLE_FOREACH (sim_scenario, struct sim_scenario, s)
        TABLE_FOREACH (policy, struct shootdown_policy, p)
            for (u32 c = 0; c < ARRAY_SIZE(configs); c++)
                if (wanted(s, p, &configs[c]) && all++ % options->parts == options->part) {
                    cells++;
                    bad += !run_cell(s, p, &configs[c]);
                }
    printf("end %u cells, %u bad, %llu schedules, %llu of them at random on three CPUs or more\n", cells, bad,
           (unsigned long long)options->schedules, (unsigned long long)options->many_random);
    return bad || !cells;
}
