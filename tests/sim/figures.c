/* Exact counts that no emulator gives: cache lines that change their holder in one shootdown, and translations that a PCID has
 * kept when a space comes back. */
#include "tests/sim/explore.h"
#include "tests/sim/scenario.h"
#include "tests/sim/std.h"

/* ---- lines ---- */

static struct space *shared;

static void everybody_runs_in_it(void)
{
    shared = sim_space();
    sim_map(shared, SIM_VA, 4, PT_USER | PT_WRITE);
    for (cpu_t c = 0; c < sim.cpus; c++)
        sim_run_in(c, shared);
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
    *explorer->lines = sim_lines_moved();
}

static u32 count_lines(const char *policy, u32 cpus)
{
    static const struct sim_config config = {"plain", false, false, true, false, false};
    struct sim_scenario s = {.name = "lines",
                             .cpus = cpus,
                             .setup = everybody_runs_in_it,
                             .body = {two_shootdowns},
                             .end = all_are_done};
    struct plan none = {0};
    *explorer->lines = 0;
    if (!explore_setup(&s, policy, &config))
        return 0;
    explore_run(&none, false);
    return explorer->run.failed ? 0 : *explorer->lines;
}

static bool show_lines(void)
{
    static const u32 cpus[] = {2, 3, 4, 8};
    bool ok = true;
    printf("lines moved by an unmap of 1 page; the other CPUs run in the space\n%-16s", "");
    for (u32 i = 0; i < ARRAY_SIZE(cpus); i++)
        printf("%6u CPUs", cpus[i]);
    printf("\n");
    TABLE_FOREACH (policy, struct shootdown_policy, p) {
        printf("%-16s", p->name);
        for (u32 i = 0; i < ARRAY_SIZE(cpus); i++) {
            u32 lines = count_lines(p->name, cpus[i]);
            /* There and back again, for each target; who defers need not tell anybody. */
            ok &= shootdown_policy_defers(p) || lines >= 2 * (cpus[i] - 1);
            printf("%11u", lines);
        }
        printf("\n");
    }
    printf("%s figure lines: two at least for each target\n", ok ? "PASS" : "FAIL");
    return ok;
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
    static const struct sim_config with = {"pcid", true, true, true, false, false},
                                   without = {"plain", false, false, true, false, false};
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
