/* shootdown: what it costs to take a mapping away from CPUs that have it cached.
 *
 * One cell is (operation, responders, CPUs, pages, policy). In each round every responder touches all pages of the range, so that each
 * entry is really in each TLB; then the initiator runs one operation. Measured: the initiator's time from before step 1 to
 * return, the responder's interruption from vector entry to IRET, and, in rounds of their own with time stamps patched in,
 * each step of the path. A shootdown's own price is the initiator's p50 less that of the same cell on 1 CPU.
 *
 * This file is the grid and its table; bench/shootdown_cell.h leads to the rest.
 *
 * The range never fills a page table: one page beside it stays mapped, or every unmap would free a table and need the
 * WALKERS level. */
#include "bench/policies.h"
#include "bench/shootdown_cell.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "mm/kmap.h"
#include "mm/layout.h"
#include "smp/message.h"

/* Two tables side by side: the range starts half a table in, so that 512 pages lie in both, and a page that stays mapped at
 * either end keeps each table alive. In the user half, the first of these is the page that responders keep touching. */
#define USER_TABLE    0x0000100000000000ull
#define TABLE_BYTES   (512 * PAGE_SIZE)
#define RANGE_OFFSET  (TABLE_BYTES / 2)
#define ANCHOR_OFFSET (2 * TABLE_BYTES - PAGE_SIZE)

static struct responders responders;

static const char *const op_names[] = {"unmap", "protect", "remap", "kernel"};

/* One operation's part of the grid: a table. */
struct grid {
    struct bench_run *b;
    const char *bench, *op;
    const struct bench_axis *cpus, *pages;
    struct bench_policies policies;
    const struct shootdown_policy *stronger; /* that served what others could not; NULL: nothing was routed */
};

/* All policies of one row: a line of the table. */
static void row(struct grid *g, struct shootdown_cell *c)
{
    const struct shootdown_policy *before = shootdown_policy();
    u64 first = 0;
    char line[320];
    int n = format(line, sizeof(line), "  %-8s %4u %5llu", c->op, c->cpus, (unsigned long long)c->pages);
    for (u32 i = 0; i < g->policies.count; i++) {
        must_work(shootdown_policy_set(g->policies.policy[i]->name), "selecting the policy");
        c->policy = g->policies.policy[i];
        shootdown_cell_measure(g->b, c);
        bool routed = c->served_by && c->served_by != c->policy;
        if (routed)
            g->stronger = c->served_by;
        if (i == 0)
            first = c->p50;
        if ((size_t)n < sizeof(line))
            n += format(line + n, sizeof(line) - (size_t)n, " %10llu %3llu%%%s", (unsigned long long)c->p50,
                        (unsigned long long)(first ? c->p50 * 100 / first : 0), routed ? "*" : " ");
    }
    while (n > 0 && (size_t)n < sizeof(line) && line[n - 1] == ' ')
        line[--n] = 0;
    print("%s\n", line);
    must_work(shootdown_policy_set(before->name), "selecting the policy");
}

/* The kernel's two tables, reserved and anchored once: 0 if there is no room. */
static vaddr_t kernel_tables(void)
{
    static vaddr_t base;
    if (!base) {
        vaddr_t reserved = kmap_reserve(3 * TABLE_BYTES / PAGE_SIZE);
        if (!reserved)
            return 0;
        base = ALIGN_UP(reserved, TABLE_BYTES);
        must_work(space_map_fresh(&kernel_space, base, 1, PT_WRITE | PT_GLOBAL, FRAME_OWNER_KERNEL),
                  "an anchor page");
        must_work(
            space_map_fresh(&kernel_space, base + ANCHOR_OFFSET, 1, PT_WRITE | PT_GLOBAL, FRAME_OWNER_KERNEL),
            "an anchor page");
    }
    return base;
}

/* One row, with its responders; c says which. */
static void row_with_responders(struct grid *g, struct shootdown_cell *c)
{
    responders.start = c->start;
    responders.pages = c->pages;
    responders.busy = USER_TABLE;
    err_t e = responders_start(&responders, c->cpus - 1);
    if (e == ERR_OK)
        row(g, c);
    else
        bench_refuse(g->b, "%u responders (%s) could not be started: %s", c->cpus - 1,
                     responder_kind_name(responders.kind), err_name(e));
    responders_stop(&responders);
}

static void rows(struct grid *g, struct space *space, vaddr_t start)
{
    const struct bench_axis *cpus = g->cpus, *pages = g->pages;
    for (u32 i = 0; i < cpus->count; i++) {
        /* Every CPU has the kernel's space active, at work or not: there is no cell of fewer. */
        if (space == &kernel_space && cpus->value[i] != cpu_online_count()) {
            print("  kernel on %llu CPUs left out: a kernel range is told to all %u, always\n",
                  (unsigned long long)cpus->value[i], cpu_online_count());
            continue;
        }
        for (u32 j = 0; j < pages->count; j++) {
            struct shootdown_cell c = {.bench = g->bench,
                                       .op = g->op,
                                       .responders = &responders,
                                       .space = space,
                                       .start = start,
                                       .pages = pages->value[j],
                                       .cpus = (u32)cpus->value[i]};
            if (!bench_out_of_time())
                row_with_responders(g, &c);
        }
    }
}

static void grid(struct grid g)
{
    bool kernel = strcmp(g.op, "kernel") == 0;
    vaddr_t table = kernel ? kernel_tables() : USER_TABLE;
    if (!table) {
        bench_refuse(g.b, "no kernel address range for %u pages", SHOOTDOWN_PAGES_MAX);
        return;
    }

    print("\n  %-8s %4s %5s", "ticks", "CPUs", "pages");
    for (u32 i = 0; i < g.policies.count; i++)
        print(" %15s ", g.policies.policy[i]->name);
    print("  (p50, and as a share of %s)\n", g.policies.policy[0]->name);

    print("  responders: %s, told by delivery %s%s\n", responder_kind_name(responders.kind),
          msg_delivery_name(), responders.outside ? "; the initiator does not have the space loaded" : "");

    rows(&g, kernel ? &kernel_space : responders.space, table + RANGE_OFFSET);
    if (g.stronger)
        print("  * needs more than this policy serves, and took the path of %s (served_by)\n",
              g.stronger->name);
}

/* The space with responders of that kind, and the pages of it that stay. */
static bool open_space(struct bench_run *b, enum responder_kind kind, bool outside)
{
    err_t e = responders_open(&responders, kind, outside);
    if (e != ERR_OK) {
        bench_refuse(b, "no responders (%s): %s", responder_kind_name(kind), err_name(e));
        return false;
    }
    u32 right = PT_WRITE | responders_right(&responders);
    must_work(space_map_fresh(responders.space, USER_TABLE, 1, right, FRAME_OWNER_USER), "the busy page");
    must_work(space_map_fresh(responders.space, USER_TABLE + ANCHOR_OFFSET, 1, right, FRAME_OWNER_USER),
              "the anchor page");
    return true;
}

static void grids(struct bench_run *b, enum responder_kind kind, bool outside, bool kernel_range)
{
    if (!open_space(b, kind, outside))
        return;
    for (u32 i = 0; i < ARRAY_SIZE(op_names); i++)
        if (bench_axis_has_op(op_names[i]) && (strcmp(op_names[i], "kernel") == 0) == kernel_range)
            grid((struct grid){.b = b,
                               .bench = "shootdown",
                               .op = op_names[i],
                               .cpus = bench_axis_cpus(),
                               .pages = bench_axis_pages(),
                               .policies = bench_policies()});
    responders_close(&responders);
}

/* A kernel range can only be touched in the kernel, and everybody has that space, whatever else is loaded. */
static void run_grids(struct bench_run *b)
{
    bool user_range =
        bench_axis_has_op("unmap") || bench_axis_has_op("protect") || bench_axis_has_op("remap");
    for (u32 kind = 0; user_range && kind < RESPONDER_KINDS; kind++)
        for (u32 outside = 0; outside < 2; outside++)
            if (bench_axis_has_responders((enum responder_kind)kind) && bench_axis_has_initiator(outside))
                grids(b, (enum responder_kind)kind, outside, false);
    if (bench_axis_has_op("kernel"))
        grids(b, RESPONDER_KERNEL, false, true);
}

static void run(struct bench_run *b)
{
    if (bench_axis_cpus_left(b))
        bench_each_delivery(b, run_grids);
}
BENCH(shootdown, "taking a mapping away from CPUs that have it cached", run);

/* Every number of CPUs from 2 to all, or as many as an axis holds, evenly spread, all among them. */
static struct bench_axis every_count(void)
{
    struct bench_axis a = {0};
    u32 online = cpu_online_count(), steps = MIN(online - 1, BENCH_AXIS_MAX);
    for (u32 i = 1; i <= steps; i++)
        a.value[a.count++] = 1 + (u64)(online - 1) * i / steps;
    return a;
}

static void scale(struct bench_run *b)
{
    static const struct bench_axis one_page = {.count = 1, .value = {1}};
    struct bench_axis cpus = bench_axis_cpus_chosen() ? *bench_axis_cpus() : every_count();
    for (u32 kind = 0; kind < RESPONDER_KINDS; kind++) {
        if (!bench_axis_has_responders((enum responder_kind)kind) ||
            !open_space(b, (enum responder_kind)kind, false))
            continue;
        grid((struct grid){.b = b,
                           .bench = "scaling",
                           .op = "unmap",
                           .cpus = &cpus,
                           .pages = &one_page,
                           .policies = bench_policies()});
        responders_close(&responders);
    }
}

static void run_scaling(struct bench_run *b)
{
    if (cpu_online_count() < 2)
        print("  needs 2 CPUs, there is 1: nothing to measure\n");
    else if (bench_axis_cpus_left(b))
        bench_each_delivery(b, scale);
}
BENCH_ON_REQUEST(scaling, "one page taken away from 1, 2, ... all other CPUs", run_scaling);
