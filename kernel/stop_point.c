/* What CPUs do at stop points. Each has a cell for every point; what a test asks for is read by that CPU alone. */
#include "kernel/stop_point.h"

#include "kernel/command.h"
#include "kernel/patch.h"
#include "lib/atomic.h"
#include "lib/log.h"
#include "lib/percpu.h"
#include "lib/string.h"
#include "lib/wait.h"
#include "smp/cpus.h"

/* How long a CPU may be held. Short of the wait for a ticket in flight (mm/ticket.c), long against everything else. */
#define STOP_LIMIT_MS 2000u

struct stop_cell {
    u64 passes; /* its CPU's */
    u32 held;   /* the same: it stands here */
    u32 hold;   /* the test's from here on */
    void (*fn)(void *arg);
    void *arg;
    const struct stop_cell *first; /* NULL, or to be passed before */
    u64 first_passes;
};

struct stop_cells {
    struct stop_cell at[STOP_POINTS];
};
static PERCPU(struct stop_cells, stop_cells);

void (*stop_observer)(enum stop_point p);

static char why[96];

void stop_point_reached(u32 point); /* called by lib/stop_point_stub.asm */

static struct stop_cell *cell_of(enum stop_point p, cpu_t cpu)
{
    return &per_cpu(stop_cells, cpu).at[p];
}

const char *stop_name(enum stop_point p)
{
    static const char *const names[STOP_POINTS] = {
#define STOP_POINT_NAME(id, name, what) name,
        STOP_POINTS_LIST(STOP_POINT_NAME)};
    return p < STOP_POINTS ? names[p] : "?";
}

const char *stop_what(enum stop_point p)
{
    static const char *const whats[STOP_POINTS] = {
#define STOP_POINT_WHAT(id, name, what) what,
        STOP_POINTS_LIST(STOP_POINT_WHAT)};
    return p < STOP_POINTS ? whats[p] : "?";
}

/* The first trouble is the one that tells. */
static COLD void overdue(enum stop_point p, const char *what)
{
    static u32 taken;
    if (!why[0] && !atomic_xchg(&taken, 1)) {
        format(why, sizeof(why), "CPU %u at %s: %s", cpu_self(), stop_name(p), what);
        atomic_store_relaxed(&taken, 0);
    }
}

static u64 passes_of(const struct stop_cell *c)
{
    /* orders: what the other CPU did before its point before what we do after ours; pairs with:
     * kernel/stop_point.c:stop_point_reached (release); else: the chosen order would not hold for memory. */
    return atomic_load_acquire(&c->passes);
}

static bool is_asked_to_stay(const struct stop_cell *c)
{
    /* orders: what the test did before it released us before what we do next; pairs with: kernel/stop_point.c:stop_release
     * (release); else: we could go on without it. */
    return atomic_load_acquire(&c->hold);
}

static void wait_here(struct stop_cell *c, enum stop_point p)
{
    struct wait w = WAIT("release from a stop point", wait_ms(STOP_LIMIT_MS));
    /* orders: what we did before the point before the sight of us there; pairs with: kernel/stop_point.c:stop_is_held
     * (acquire); else: a test would look at things from before the point. */
    atomic_store_release(&c->held, 1);
    while (is_asked_to_stay(c))
        if (!wait_spin(&w)) {
            overdue(p, "held, and never released");
            atomic_store_relaxed(&c->hold, 0);
        }
    atomic_store_relaxed(&c->held, 0);
}

static void wait_for_first(const struct stop_cell *c, enum stop_point p)
{
    struct wait w = WAIT("another CPU to pass its stop point", wait_ms(STOP_LIMIT_MS));
    while (passes_of(c->first) < c->first_passes)
        if (!wait_spin(&w)) {
            overdue(p, "the CPU that was to be first did not come");
            return;
        }
}

void stop_point_reached(u32 point)
{
    enum stop_point p = (enum stop_point)point;
    struct stop_cell *c = &this_cpu_ptr(stop_cells)->at[p];
    void (*observer)(enum stop_point p) = atomic_load_relaxed(&stop_observer);
    if (observer)
        observer(p);
    /* orders: the reading of what belongs to it; pairs with: kernel/stop_point.c:stop_call (release); else: an argument of
     * before. */
    void (*fn)(void *arg) = atomic_load_acquire(&c->fn);
    if (fn)
        fn(c->arg);
    /* orders: the same; pairs with: kernel/stop_point.c:stop_order (release); else: the count of before. */
    if (atomic_load_acquire(&c->first))
        wait_for_first(c, p);
    if (is_asked_to_stay(c))
        wait_here(c, p);
    /* orders, pairs with: kernel/stop_point.c:passes_of; else: as there. */
    atomic_store_release(&c->passes, c->passes + 1);
}

void stop_hold(enum stop_point p, cpu_t cpu)
{
    atomic_store_relaxed(&cell_of(p, cpu)->hold, 1);
}

void stop_release(enum stop_point p, cpu_t cpu)
{
    /* orders, pairs with: kernel/stop_point.c:is_asked_to_stay (acquire); else: as there. */
    atomic_store_release(&cell_of(p, cpu)->hold, 0);
}

bool stop_is_held(enum stop_point p, cpu_t cpu)
{
    /* orders: what we look at after the CPU's steps before the point; pairs with: kernel/stop_point.c:wait_here (release);
     * else: as there. */
    return atomic_load_acquire(&cell_of(p, cpu)->held);
}

bool stop_wait_held(enum stop_point p, cpu_t cpu)
{
    struct wait w = WAIT("a CPU to come to its stop point", wait_ms(STOP_LIMIT_MS / 2));
    while (!stop_is_held(p, cpu))
        if (!wait_spin(&w))
            return false;
    return true;
}

void stop_call(enum stop_point p, cpu_t cpu, void (*fn)(void *arg), void *arg)
{
    struct stop_cell *c = cell_of(p, cpu);
    if (fn)
        c->arg = arg;
    /* orders, pairs with: kernel/stop_point.c:stop_point_reached (acquire); else: as there. */
    atomic_store_release(&c->fn, fn);
}

void stop_order(enum stop_point first, cpu_t first_cpu, enum stop_point then, cpu_t then_cpu)
{
    struct stop_cell *c = cell_of(then, then_cpu), *f = cell_of(first, first_cpu);
    c->first_passes = passes_of(f) + 1;
    /* orders, pairs with: kernel/stop_point.c:stop_point_reached (acquire); else: as there. */
    atomic_store_release(&c->first, (const struct stop_cell *)f);
}

u64 stop_passes(enum stop_point p, cpu_t cpu)
{
    return passes_of(cell_of(p, cpu));
}

static void let_all_go(bool counts_too)
{
    for (cpu_t cpu = 0; cpu < cpu_count(); cpu++)
        for (u32 p = 0; percpu_base[cpu] && p < STOP_POINTS; p++) {
            struct stop_cell *c = cell_of(p, cpu);
            stop_call(p, cpu, NULL, NULL);
            atomic_store_relaxed(&c->first, NULL);
            atomic_store_relaxed(&c->first_passes, 0); /* for one that waits already */
            stop_release(p, cpu);
            if (counts_too)
                atomic_store_relaxed(&c->passes, 0);
        }
}

void stop_clear(void)
{
    let_all_go(true);
}

err_t stop_begin(void)
{
    why[0] = 0;
    let_all_go(true);
    return patch_set(PATCH_STOP, true);
}

bool stop_end(void)
{
    let_all_go(false);
    err_t e = patch_set(PATCH_STOP, false);
    if (e != ERR_OK && !why[0])
        format(why, sizeof(why), "the points cannot be switched off: %s", err_name(e));
    return !why[0];
}

bool stop_is_overdue(void)
{
    return why[0];
}

const char *stop_why(void)
{
    return why[0] ? why : "nothing took too long";
}

static void cmd_stop(int argc, char **argv)
{
    bool on = argc == 2 && strcmp(argv[1], "on") == 0, off = argc == 2 && strcmp(argv[1], "off") == 0;
    if (argc > 1 && !on && !off) {
        print("`stop on` or `stop off`; `stop` alone lists the points.\n");
        return;
    }
    if (on && stop_begin() != ERR_OK)
        print("not all CPUs stopped for the change of code\n");
    if (off && !stop_end())
        print("%s\n", stop_why());
    print("%-12s %12s  %s\n", "point", "passes", "the CPU is there when");
    for (u32 p = 0; p < STOP_POINTS; p++) {
        u64 sum = 0;
        for (cpu_t cpu = 0; cpu < cpu_count(); cpu++)
            sum += percpu_base[cpu] ? stop_passes(p, cpu) : 0;
        print("%-12s %12llu  %s\n", stop_name(p), (unsigned long long)sum, stop_what(p));
    }
    print("stop points are %s\n", patch_on[PATCH_STOP] ? "on: passes are counted" : "off: one NOP each");
}
COMMAND(stop, "stop [on|off]",
        "the stop points of tests: what each is, how often it was passed since `stop on`", cmd_stop);
