/* Exact counts that no emulator gives: cache lines that change their holder in one shootdown, and translations that a PCID has
 * kept when a space comes back. */
#include "tests/sim/explore.h"
#include "tests/sim/scenario.h"
#include "tests/sim/std.h"

#include "mm/opt.h"

/* ---- lines ---- */

static struct space *shared;

static void everybody_runs_in_it(void)
{
    shared = sim_space();
    sim_map(shared, SIM_VA, 4, PT_USER | PT_WRITE);
    for (cpu_t c = 0; c < sim.cpus; c++)
        sim_run_in(c, shared);
    sim_lines_ignore(shared->history, sizeof(shared->history));
    sim.lines_on = true;
}

/* The second one: by then the lines are where the first has left them, as in a steady stream of shootdowns. */
static void two_shootdowns(void)
{
    sim_unmap(shared, SIM_VA, 1);
    sim_lines_reset();
    sim_unmap(shared, SIM_VA + PAGE_SIZE, 1);
}

static void all_are_done(void)
{
    explorer->lines[0] = sim_lines_moved();
    explorer->lines[1] = sim_lines_charged();
}

/* False: it could not be run. */
static bool count_lines(const char *policy, bool split, u32 cpus, u32 *moved, u32 *charged)
{
    const struct sim_config config = {"plain", false, false, true, false, false, split ? OPT_LINE : 0};
    struct sim_scenario s = {.name = "lines",
                             .cpus = cpus,
                             .setup = everybody_runs_in_it,
                             .body = {two_shootdowns},
                             .end = all_are_done};
    struct plan none = {0};
    if (!explore_setup(&s, policy, &config))
        return false;
    explore_run(&none, false);
    *moved = explorer->lines[0];
    *charged = explorer->lines[1];
    return !explorer->run.failed;
}

/* By how much what is charged may differ from what moves: a fixed number, and one for each target. */
static const struct {
    const char *policy, *why;
    u32 fixed, each;
} charged_more[] = {
    {"sync", "", 0, 0},
    {"concurrent", "", 0, 0},
    {"tree", "", 0, 0},
    {"batched", "", 0, 0},
    {"counter", "", 0, 0},
    {"early_ack", "each target's words, if the initiator looks between entry and flush", 0, 1},
    {"promise", "the same", 0, 1},
    {"scoreboard", "the request, by plain accesses, which are not seen here", 1, 1},
    {"quiesce", "the record, likewise", 2, 1},
    {"barrier", "the record, likewise, less looks of waiting targets at the sense", 1, 1},
};

static bool is_charged_right(const char *policy, u32 moved, u32 charged, u32 targets)
{
    for (u32 i = 0; i < ARRAY_SIZE(charged_more); i++)
        if (strcmp(charged_more[i].policy, policy) == 0)
            return charged == moved + charged_more[i].fixed + charged_more[i].each * targets;
    return true; /* defers, or is broken: what it charges is not compared */
}

static bool show_lines(void)
{
    static const u32 cpus[] = {2, 3, 4, 8};
    bool ok = true;
    bool charges = true, saved = true;
    printf("lines moved by an unmap of 1 page, and lines charged (lib/cost.h); the other CPUs run in the "
           "space\n%-16s",
           "");
    for (u32 i = 0; i < ARRAY_SIZE(cpus); i++)
        printf("%6u CPUs", cpus[i]);
    printf("\n");
    TABLE_FOREACH (policy, struct shootdown_policy, p) {
        u32 layouts = p->post_split ? 2 : 1;
        for (u32 split = 0; split < layouts; split++) {
            printf("%-16s", split ? "  without line" : p->name);
            for (u32 i = 0; i < ARRAY_SIZE(cpus); i++) {
                u32 moved = 0, charged = 0, together = 0, ignored, targets = cpus[i] - 1;
                ok &= count_lines(p->name, split, cpus[i], &moved, &charged);
                /* There and back again, for each target; who defers need not tell anybody. */
                ok &= shootdown_policy_defers(p) || moved >= 2 * targets;
                charges &= is_charged_right(p->name, moved, charged, targets);
                if (split) /* the request taken and read, each state read and written */
                    saved &= count_lines(p->name, false, cpus[i], &together, &ignored) &&
                             moved == together + 3 * targets + 1;
                printf("%6u %4u", moved, charged);
            }
            printf("\n");
        }
    }
    printf("%s figure lines: two at least for each target\n", ok ? "PASS" : "FAIL");
    printf("%s figure lines_charged: the sites of the cost model charge for what moves\n",
           charges ? "PASS" : "FAIL");
    printf("%s figure lines_consolidated: opt= with line saves 3 for each target, and 1\n",
           saved ? "PASS" : "FAIL");
    return ok && charges && saved;
}

/* ---- what a PCID keeps ---- */

#define PAGES 64u

static void away_and_back(void)
{
    struct space *s = sim_space(), *other = sim_space();
    sim.no_speculation = true;
    for (u32 i = 0; i < PAGES; i++) {
        err_t e = space_map_fresh(s, SIM_VA + i * PAGE_SIZE, 1, PT_USER | PT_WRITE, FRAME_OWNER_USER);
        SIM_CHECK(e == ERR_OK, "error %d", e);
    }
    sim_load_space(s);
    for (u32 i = 0; i < PAGES; i++)
        sim_translations(&sim_cpus[0], SIM_VA + i * PAGE_SIZE, NULL, NULL);
    SIM_CHECK(sim_count_valid(&sim_cpus[0], SIM_VA, PAGES) == PAGES, "all are cached");
    sim_load_space(other);
    SIM_CHECK(sim_count_valid(&sim_cpus[0], SIM_VA, PAGES) == 0, "none can be used elsewhere");
    sim_load_space(s);
    *explorer->lines = sim_count_valid(&sim_cpus[0], SIM_VA, PAGES);
}

static bool kept(const struct sim_config *config, u32 *count)
{
    struct sim_scenario s = {.name = "kept", .cpus = 1, .setup = away_and_back};
    *explorer->lines = ~0u;
    bool ok = explore_setup(&s, "concurrent", config);
    *count = *explorer->lines;
    if (!ok)
        printf("     | %s\n", explorer->run.why);
    return ok;
}

static bool show_kept(void)
{
    static const struct sim_config with = {"pcid", true, true, true, false, false, 0},
                                   without = {"plain", false, false, true, false, false, 0};
    u32 yes, no;
    bool ok = kept(&with, &yes) & kept(&without, &no);
    ok &= yes == PAGES && no == 0;
    printf("%s figure pcid_kept: entries valid on return to a space: %u of %u with PCID, %u of %u without\n",
           ok ? "PASS" : "FAIL", yes, PAGES, no, PAGES);
    return ok;
}

bool sim_figures(void)
{
    return show_lines() & show_kept();
}
