#include "bench/progress.h"

#include "dev/screen.h"
#include "lib/log.h"
#include "lib/string.h"
#include "lib/wait.h"
#include "smp/message.h"

#define BAR_CELLS    40u
#define POLICIES_MAX 24u
#define REDRAW_US    100000u /* drawing is not free, and nobody reads faster */

/* ---- the row below ---- */

static const char *running;
static u64 run_start, run_limit_s, drawn;
static u32 records;

/* That many full blocks; text has room for 3 bytes for each and a 0. The console fonts of distributions have no halves. */
static void bar(char *text, u32 cells)
{
    text[0] = 0;
    for (u32 i = 0; i < cells; i++, text += 3)
        memcpy(text, "\u2588", 4);
}

static void draw(void)
{
    char text[240], done[3 * BAR_CELLS + 1];
    u64 seconds = tsc_to_ns(rdtsc() - run_start) / 1000000000;
    bar(done, (u32)(MIN(seconds, run_limit_s) * BAR_CELLS / run_limit_s));
    u32 rest = BAR_CELLS - (u32)(strlen(done) / 3);
    (void)format(text, sizeof(text), "bench %s  %s%*s  %lu s of at most %lu, %u results", running, done,
                 (int)rest, "", seconds, run_limit_s, records);
    screen_status(text);
    drawn = rdtsc();
}

void progress_begin(const char *bench, u64 start, u64 limit_s)
{
    if (run_start != start)
        records = 0;
    running = bench;
    run_start = start;
    run_limit_s = limit_s;
    draw();
}

/* ---- the table at the end ---- */

/* An unmap of one page, on as many CPUs as were measured; of several deliveries, initiators and kinds of responders the first. */
struct row {
    const char *policy;
    u64 initiator, responder; /* medians; 0: not measured */
    bool served_by_other;
};
static struct row rows[POLICIES_MAX];
static u32 count, cpus;
static const char *responders, *initiator, *delivery;

static bool same(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static struct row *row_of(const char *policy)
{
    for (u32 i = 0; i < count; i++)
        if (strcmp(rows[i].policy, policy) == 0)
            return &rows[i];
    if (count == POLICIES_MAX)
        return NULL;
    rows[count] = (struct row){.policy = policy};
    return &rows[count++];
}

static void note(const struct bench_key *k, struct samples *s)
{
    bool of_initiator = strcmp(k->metric, "initiator") == 0;
    if (!k->policy || !k->op || !k->responders || strcmp(k->bench, "shootdown") != 0 ||
        strcmp(k->op, "unmap") != 0 || k->pages != 1 || k->cpus < 2 ||
        (!of_initiator && strcmp(k->metric, "responder") != 0))
        return;
    if (k->cpus > cpus) {
        count = 0;
        cpus = k->cpus;
        responders = k->responders;
        initiator = k->initiator;
        delivery = msg_delivery_name();
    }
    bool belongs = k->cpus == cpus && same(k->responders, responders) && same(k->initiator, initiator) &&
                   same(msg_delivery_name(), delivery);
    struct row *r = belongs ? row_of(k->policy) : NULL;
    if (!r)
        return;
    *(of_initiator ? &r->initiator : &r->responder) = samples_percentile(s, 500);
    r->served_by_other |= k->served_by && strcmp(k->served_by, k->policy) != 0;
}

void progress_record(const struct bench_key *k, struct samples *s)
{
    records++;
    note(k, s);
    if (running && tsc_to_ns(rdtsc() - drawn) > REDRAW_US * 1000ull)
        draw();
}

static void line(const char *left, const char *between, const char *right)
{
    static const u32 width[] = {14, 13, 13, BAR_CELLS + 2};
    print("  %s", left);
    for (u32 i = 0; i < ARRAY_SIZE(width); i++) {
        for (u32 c = 0; c < width[i]; c++)
            print("\u2500");
        print("%s", i + 1 < ARRAY_SIZE(width) ? between : right);
    }
    print("\n");
}

static void print_row(const struct row *r, u64 least, u64 most)
{
    char text[3 * BAR_CELLS + 1];
    u32 cells = (u32)MAX((r->initiator * BAR_CELLS + most / 2) / most, 1u);
    bar(text, cells);
    print("  \u2502 %-12s \u2502 %'10llu%s \u2502 %'11llu \u2502 \x1b[%um%s\x1b[0m%*s \u2502\n", r->policy,
          (unsigned long long)r->initiator, r->served_by_other ? "*" : " ", (unsigned long long)r->responder,
          r->initiator == least ? 32u : 36u, text, (int)(BAR_CELLS - cells), "");
}

static void print_table(void)
{
    u64 least = ~0ull, most = 1;
    bool others = false;
    for (u32 i = 0; i < count; i++) {
        least = MIN(least, rows[i].initiator);
        most = MAX(most, rows[i].initiator);
        others |= rows[i].served_by_other;
    }
    print("\nUnmap of one page, %u CPUs, responders in %s%s%s, delivery %s: medians in ticks, by policy; "
          "figures are %s\n",
          cpus, responders, initiator ? ", initiator " : "", initiator ? initiator : "", delivery,
          bench_trust());
    line("\u250c", "\u252c", "\u2510");
    print("  \u2502 %-12s \u2502 %11s \u2502 %11s \u2502 %-*s \u2502\n", "policy", "initiator", "responder",
          (int)BAR_CELLS, "initiator");
    line("\u251c", "\u253c", "\u2524");
    for (u32 i = 0; i < count; i++)
        print_row(&rows[i], least, most);
    line("\u2514", "\u2534", "\u2518");
    if (others)
        print("  * served by another policy's path\n");
}

void progress_end(void)
{
    running = NULL;
    screen_status("");
    if (count > 1)
        print_table();
    count = cpus = 0;
}
