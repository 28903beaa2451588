/* Snapshots, runs, and the two searches. */
#include "tests/sim/explore.h"
#include "tests/sim/scenario.h"
#include "tests/sim/std.h"

#include "lib/features.h"
#include "mm/shootdown.h"

#define STACK_BYTES (64 * KIB)

struct explorer *explorer;

/* All variables of the program: from the linker. The explorer's own state is on the heap, and stays. */
extern u8 __data_start[], _end[];
static u8 *pristine;

static size_t data_bytes(void)
{
    return (size_t)(_end - __data_start);
}

/* The code under test follows a pointer into nowhere. The handler is left by a switch of stacks, not by a return. */
static void crashed(int signal, siginfo_t *info, void *context)
{
    (void)context;
    sim_fail("crash: signal %d at address %p", signal, info->si_addr);
}

static void catch_crashes(void)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    struct sigaction action = {.sa_sigaction = crashed, .sa_flags = SA_SIGINFO | SA_NODEFER};
    for (u32 i = 0; i < ARRAY_SIZE(signals); i++)
        sigaction(signals[i], &action, NULL);
}

void explore_init(void)
{
    catch_crashes();
    explorer = calloc(1, sizeof(*explorer));
    for (u32 c = 0; c < HOST_CPUS; c++)
        explorer->stacks[c] = aligned_alloc(64, STACK_BYTES);
    sim_phys_init();
    explorer->data = malloc(data_bytes());
    explorer->phys = malloc(SIM_FRAMES * PAGE_SIZE);
    pristine = malloc(data_bytes());
    memcpy(pristine, __data_start, data_bytes());
}

static void restore(void)
{
    memcpy(__data_start, explorer->data, data_bytes());
    memcpy(sim_phys.memory, explorer->phys, explorer->phys_used * PAGE_SIZE);
}

bool explore_setup(const struct sim_scenario *s, const char *policy, const struct sim_config *config)
{
    memcpy(__data_start, pristine, data_bytes());
    explorer->scenario = s;
    explorer->run.failed = false;
    if (!sim_set_up(policy, config))
        return false;
    memcpy(explorer->data, __data_start, data_bytes());
    memcpy(explorer->phys, sim_phys.memory, sim_phys.used * PAGE_SIZE);
    explorer->phys_used = sim_phys.used;
    return true;
}

/* ---- one run ---- */

static void finish(void)
{
    void *nowhere;
    sim_switch_stacks(&nowhere, explorer->stack_pointer);
    __builtin_unreachable();
}

NORETURN void explore_run_ended(void)
{
    explorer->ended_ok = true;
    finish();
    __builtin_unreachable();
}

NORETURN void sim_fail(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(explorer->run.why, sizeof(explorer->run.why), fmt, ap);
    va_end(ap);
    explorer->run.failed = true;
    if (!sim.running)
        explore_leave_setup();
    finish();
    __builtin_unreachable();
}

NORETURN COLD void panic(const char *fmt, ...)
{
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    sim_fail("panic: %s", text);
}

NORETURN COLD void assert_failed(const char *expr, const char *file, int line, const char *meaning)
{
    sim_fail("assertion failed at %s:%d: %s: %s", file, line, expr, meaning);
}

u32 explore_choose(u32 step, u32 alternatives)
{
    struct explorer *e = explorer;
    if (e->collect)
        e->alternatives[step] = (u8)alternatives;
    if (e->next == e->plan.count)
        return 0;
    const struct deviation *d = &e->plan.at[e->next];
    if (e->plan.loose ? d->step > step : d->step != step)
        return 0;
    u32 choice = e->plan.loose ? 1 + d->choice % alternatives : d->choice;
    if (choice > alternatives)
        return 0;
    e->next++;
    e->run.taken.at[e->run.taken.count++] = (struct deviation){step, choice};
    return choice;
}

bool explore_is_shared(cpu_t c, const volatile void *p, bool write)
{
    u64 word = (u64)p >> 3;
    u32 i = (u32)(word * 0x9e3779b97f4a7c15ull >> 51);
    while (explorer->words[i].word && explorer->words[i].word != (void *)word)
        i = (i + 1) % SHARED_SLOTS;
    explorer->words[i].word = (void *)word;
    if (write)
        explorer->words[i].writers |= (u16)(1u << c);
    else
        explorer->words[i].readers |= (u16)(1u << c);
    u32 users = explorer->words[i].readers | explorer->words[i].writers;
    if (!explorer->words[i].shared && explorer->words[i].writers && (users & (users - 1))) {
        explorer->words[i].shared = true;
        explorer->shared_grew = true;
    }
    return explorer->words[i].shared || explorer->all_shared;
}

static void *fresh_stack(u32 c)
{
    u64 *sp = (u64 *)(explorer->stacks[c] + STACK_BYTES - 64);
    *--sp = 0; /* no return address: sim_cpu_main does not return, and begins with an aligned stack */
    *--sp = (u64)sim_cpu_main;
    for (u32 i = 0; i < 6; i++)
        *--sp = 0;
    return sp;
}

void explore_run(const struct plan *plan, bool trace)
{
    restore();
    explorer->plan = *plan;
    explorer->next = 0;
    explorer->ended_ok = false;
    explorer->run.failed = false;
    explorer->run.taken.count = 0;
    explorer->run.why[0] = 0;
    sim_tracing = trace;
    for (u32 c = 0; c < sim.cpus; c++)
        sim_cpus[c].sp = fresh_stack(c);
    sim.running = true;
    sim.now = 0;
    sim_switch_stacks(&explorer->stack_pointer, sim_cpus[0].sp);
    sim.running = false;
    sim_tracing = false;
    explorer->run.steps = sim.step;
    if (!explorer->run.failed)
        explore_guard(sim_check_quiet);
    if (!explorer->run.failed && explorer->scenario->end) {
        sim.now = 0;
        explore_guard(explorer->scenario->end);
    }
}

/* ---- searches ---- */

static void note(struct result *r)
{
    r->schedules++;
    r->steps += explorer->run.steps;
    if (!explorer->run.failed)
        return;
    if (!r->failures++) {
        r->first = r->schedules;
        r->failed = explorer->run;
    }
}

static bool enough(const struct result *r, u64 limit)
{
    return r->failures || r->schedules >= limit;
}

/* All ways to go on with up to `left` more deviations, after the last of `plan`. */
static void extend(const struct plan *plan, u32 left, u64 limit, struct result *r)
{
    explorer->collect = left > 0;
    if (left)
        memset(explorer->alternatives, 0, sizeof(explorer->alternatives));
    explore_run(plan, false);
    note(r);
    if (!left || enough(r, limit))
        return;

    u32 from = plan->count ? plan->at[plan->count - 1].step + 1 : 1, steps = explorer->run.steps;
    u8 *alternatives = malloc(steps + 1);
    memcpy(alternatives, explorer->alternatives, steps + 1);
    struct plan longer = *plan;
    longer.count++;
    for (u32 step = from; step <= steps; step++)
        for (u32 choice = 1; choice <= alternatives[step] && !enough(r, limit); choice++) {
            longer.at[longer.count - 1] = (struct deviation){step, choice};
            extend(&longer, left - 1, limit, r);
        }
    free(alternatives);
}

void explore_exactly(u32 bound, u64 limit, struct result *r)
{
    struct plan none = {0};
    /* Again whenever a word turned out to be shared that was taken for private: its accesses are points to switch at, too. */
    do {
        explorer->shared_grew = false;
        *r = (struct result){0};
        extend(&none, bound, limit, r);
    } while (explorer->shared_grew && !r->failures);
    r->complete = !r->failures && r->schedules < limit;
}

void explore_bounded(u32 bound, u64 limit, struct result *r)
{
    struct plan none = {0};
    memset(explorer->words, 0, sizeof(explorer->words));
    for (u32 pass = 0; pass < bound; pass++) {
        *r = (struct result){0};
        extend(&none, pass, limit, r);
        if (r->failures)
            return;
    }
    explore_exactly(bound, limit, r);
}

static u64 next_random(u64 *state)
{
    u64 z = *state += 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

static int by_step(const void *a, const void *b)
{
    u32 x = ((const struct deviation *)a)->step, y = ((const struct deviation *)b)->step;
    return x < y ? -1 : x > y;
}

void explore_random(u64 seed, u64 count, u32 most, struct result *r)
{
    struct plan plan = {0};
    explorer->collect = false;
    explore_run(&plan, false);
    note(r);
    u32 length = explorer->run.steps;
    plan.loose = true;
    for (u64 i = 0; i < count && !r->failures; i++) {
        plan.count = 1 + (u32)(next_random(&seed) % most);
        for (u32 d = 0; d < plan.count; d++)
            plan.at[d] = (struct deviation){1 + (u32)(next_random(&seed) % length), (u32)next_random(&seed)};
        qsort(plan.at, plan.count, sizeof(plan.at[0]), by_step);
        explore_run(&plan, false);
        length = MAX(length, explorer->run.steps);
        note(r);
    }
}

void plan_format(const struct plan *p, char *out, size_t size)
{
    size_t n = 0;
    out[0] = 0;
    for (u32 i = 0; i < p->count && n < size; i++)
        n += (size_t)snprintf(out + n, size - n, "%s%u.%u", i ? " " : "", p->at[i].step, p->at[i].choice);
}

bool plan_parse(const char *text, struct plan *p)
{
    *p = (struct plan){0};
    while (*text) {
        int used;
        if (p->count == DEVIATIONS_MAX ||
            sscanf(text, "%u.%u%n", &p->at[p->count].step, &p->at[p->count].choice, &used) != 2)
            return false;
        p->count++;
        text += used;
        while (*text == ' ')
            text++;
    }
    return true;
}
