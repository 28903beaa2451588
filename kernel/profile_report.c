/* What samples mean: names for addresses, sums, the tables, the record. And who asks for it. */
#include "kernel/command.h"
#include "kernel/idle.h"
#include "kernel/process.h"
#include "kernel/profile.h"
#include "kernel/program.h"
#include "kernel/shell.h"
#include "kernel/symbols.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/param.h"
#include "lib/string.h"
#include "lib/wait.h"
#include "smp/cpus.h"

#define ROWS        128u
#define ROWS_SHOWN  16u
#define NAME_MAX    64u
#define PATH_LEVELS 4u

/* A function, or a call path of ring 3. The last row is for whatever finds no room. */
struct row {
    char name[2 * NAME_MAX];
    bool in_kernel;
    u64 count;
};
struct rows {
    struct row at[ROWS];
    u32 used;
};

static struct report {
    struct profile_totals totals;
    struct rows functions, paths;
} report;

void profile_count(struct profile_totals *t, const struct profile_sample *s)
{
    t->samples++;
    t->kernel += s->in_kernel;
    t->user += !s->in_kernel;
    t->stacks += s->depth != 0;
    t->frames += s->depth;
    t->refused[s->refusal]++;
}

static void add(struct rows *r, const char *name, bool in_kernel)
{
    u32 i = 0;
    while (i < r->used && (r->at[i].in_kernel != in_kernel || strcmp(r->at[i].name, name) != 0))
        i++;
    if (i == r->used && r->used < ROWS) {
        r->used++;
        r->at[i] = (struct row){.in_kernel = in_kernel};
        string_copy(r->at[i].name, sizeof(r->at[i].name), r->used == ROWS ? "(others)" : name);
    }
    r->at[MIN(i, ROWS - 1)].count++;
}

static void cut_offset(char *name)
{
    char *plus = strchr(name, '+');
    if (plus)
        *plus = 0;
}

/* Without its offset. The process may be gone: then the address is all there is. */
static void name_in_program(char *out, size_t size, u32 number, vaddr_t address)
{
    struct process *p = number == ~0u ? NULL : process_get(number);
    char symbol[NAME_MAX];
    if (p &&
        elf_symbol(process_program(p)->file, process_program(p)->bytes, address, symbol, sizeof(symbol))) {
        cut_offset(symbol);
        format(out, size, "%s", symbol);
    } else {
        format(out, size, "%llx", (unsigned long long)address);
    }
    if (p)
        process_unref(p);
}

static void add_function(const struct profile_sample *s)
{
    char name[NAME_MAX];
    u64 offset;
    const char *symbol = s->in_kernel ? symbol_name(s->rip, &offset) : NULL;
    if (symbol)
        format(name, sizeof(name), "%s", symbol);
    else if (s->in_kernel)
        format(name, sizeof(name), "%llx", (unsigned long long)s->rip);
    else
        name_in_program(name, sizeof(name), s->process, s->rip);
    add(&report.functions, name, s->in_kernel);
}

/* The innermost function first, then those that called it. */
static void add_path(const struct profile_sample *s)
{
    char path[2 * NAME_MAX], name[NAME_MAX];
    name_in_program(name, sizeof(name), s->process, s->user_rip);
    int n = format(path, sizeof(path), "%s", name);
    for (u32 i = 0; i < s->depth && i < PATH_LEVELS && n < (int)sizeof(path); i++) {
        /* A return address may be the first byte of the next function: the CALL is before it. */
        name_in_program(name, sizeof(name), s->process, s->stack[i] - 1);
        n += format(path + n, sizeof(path) - (size_t)n, " < %s", name);
    }
    add(&report.paths, path, false);
}

static void take(cpu_t cpu, const struct profile_sample *s, void *arg)
{
    (void)cpu, (void)arg;
    profile_count(&report.totals, s);
    add_function(s);
    if (s->depth)
        add_path(s);
}

/* The rows by their counts, the most first; changes their order. */
static void print_rows(struct rows *r, const char *what)
{
    print("%7s %7s  %s\n", "samples", "share", what);
    for (u32 shown = 0; shown < r->used && shown < ROWS_SHOWN; shown++) {
        u32 best = shown;
        for (u32 i = shown + 1; i < r->used; i++)
            if (r->at[i].count > r->at[best].count)
                best = i;
        struct row top = r->at[best];
        r->at[best] = r->at[shown];
        r->at[shown] = top;
        u64 permille = top.count * 1000 / report.totals.samples;
        print("%7llu %5llu.%llu%%  %s%s\n", (unsigned long long)top.count, (unsigned long long)permille / 10,
              (unsigned long long)permille % 10, top.name, top.in_kernel ? "" : " (ring 3)");
    }
    if (r->used > ROWS_SHOWN)
        print("        and %u more\n", r->used - ROWS_SHOWN);
}

static void print_record(const struct profile_totals *t)
{
    struct json j;
    json_begin(&j, "profile");
    json_u64(&j, "samples", t->samples);
    json_u64(&j, "kernel", t->kernel);
    json_u64(&j, "user", t->user);
    json_u64(&j, "stacks", t->stacks);
    json_u64(&j, "frames", t->frames);
    json_u64(&j, "dropped", t->dropped);
    for (u32 i = USER_ALLOWED + 1; i < USER_REFUSALS; i++) {
        char key[32];
        format(key, sizeof(key), "refused_%s", nmi_refusal_name(i));
        json_u64(&j, key, t->refused[i]);
    }
    (void)json_end(&j);
}

void profile_report(void)
{
    struct profile_totals *t = &report.totals;
    memset(&report, 0, sizeof(report));
    profile_drain(take, NULL);
    t->dropped = profile_dropped();
    if (!t->samples) {
        print("profile: no samples\n");
        return;
    }
    print("\n");
    print_rows(&report.functions, "function");
    if (report.paths.used)
        print_rows(&report.paths, "call path of ring 3, read by the NMI handler");
    print("%llu samples: %llu in the kernel, %llu in ring 3; %llu stacks of ring 3 read, %llu frames; %llu "
          "dropped\n",
          (unsigned long long)t->samples, (unsigned long long)t->kernel, (unsigned long long)t->user,
          (unsigned long long)t->stacks, (unsigned long long)t->frames, (unsigned long long)t->dropped);
    print("user stacks not read:");
    for (u32 i = USER_ALLOWED + 1; i < USER_REFUSALS; i++)
        print(" %s %llu", nmi_refusal_name(i), (unsigned long long)t->refused[i]);
    print("\n");
    print_record(t);
}

static bool start(u32 hz)
{
    err_t e = profile_start(hz);
    if (e != ERR_OK)
        log_error("profile: it cannot be started: %s",
                  e == ERR_UNSUPPORTED ? "it needs a timer and two CPUs" : err_name(e));
    return e == ERR_OK;
}

static void end(void)
{
    profile_stop();
    profile_report();
    profile_free();
}

#define SECONDS_MAX 3600u
#define HZ_DEFAULT  97u /* not a multiple of anything that the kernel does at regular times */
#define ALLOWED     "profile [SECONDS [HZ]] [COMMAND...]: 1 to 3600 s (default 5), 10 to 10000 Hz (default 97)"

static void run_command(int argc, char **argv)
{
    char line[256];
    int n = 0;
    for (int i = 0; i < argc && n < (int)sizeof(line); i++)
        n += format(line + n, sizeof(line) - (size_t)n, "%s ", argv[i]);
    (void)shell_execute(line);
}

static void cmd_profile(int argc, char **argv)
{
    u64 number[2] = {5, HZ_DEFAULT};
    int i = 1;
    while (i < argc && i < 3 && parse_u64(argv[i], &number[i - 1]))
        i++;
    if (number[0] < 1 || number[0] > SECONDS_MAX || number[1] < PROFILE_HZ_MIN ||
        number[1] > PROFILE_HZ_MAX) {
        print("%s\n", ALLOWED);
        return;
    }
    if (!start((u32)number[1]))
        return;
    if (i < argc) {
        run_command(argc - i, argv + i);
    } else {
        u64 begin = rdtsc(), ticks = number[0] * tsc_hz;
        while (rdtsc() - begin < ticks)
            idle_for_a_tick();
    }
    end();
}
COMMAND(profile, "profile [SECONDS [HZ]] [COMMAND]",
        "where all CPUs are, sampled by NMI: for so long, or while the command runs", cmd_profile);

static u32 asked_hz;

static const char *set_profile(const char *value)
{
    u64 n = HZ_DEFAULT;
    if ((*value && !parse_u64(value, &n)) || n < PROFILE_HZ_MIN || n > PROFILE_HZ_MAX)
        return "profile=HZ, 10 to 10000";
    asked_hz = (u32)n;
    return NULL;
}
PARAM(profile, "profile",
      "profile=HZ  sample all CPUs by NMI while tests, benchmarks and programs run (10 to 10000)",
      set_profile);

void profile_begin_if_asked(void)
{
    if (asked_hz && !start(asked_hz))
        asked_hz = 0;
}

void profile_end_if_asked(void)
{
    if (asked_hz)
        end();
}
