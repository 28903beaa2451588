/* The axes of a benchmark's grid, as the command line sets them. */
#include "bench/bench.h"
#include "lib/param.h"
#include "lib/string.h"
#include "smp/cpus.h"

/* 1; a few; one less than, exactly, and more than Linux's ceiling of 33; a whole table's worth. */
static struct bench_axis pages = {.count = 7, .value = {1, 4, 10, 32, 33, 64, 512}};
static struct bench_axis cpus_asked; /* count 0: choose */
static bool op_unmap = true, op_protect = true, op_remap, op_kernel;

const struct bench_axis *bench_axis_pages(void)
{
    return &pages;
}

const struct bench_axis *bench_axis_cpus(void)
{
    static struct bench_axis cpus;
    u32 online = cpu_online_count();

    cpus.count = 0;
    if (cpus_asked.count) {
        for (u32 i = 0; i < cpus_asked.count; i++)
            if (cpus_asked.value[i] <= online)
                cpus.value[cpus.count++] = cpus_asked.value[i];
        return &cpus;
    }
    for (u64 n = 1; n < online && cpus.count + 1 < BENCH_AXIS_MAX; n *= 2)
        cpus.value[cpus.count++] = n;
    cpus.value[cpus.count++] = online;
    return &cpus;
}

static const struct {
    const char *name;
    bool *on;
} ops[] = {{"unmap", &op_unmap}, {"protect", &op_protect}, {"remap", &op_remap}, {"kernel", &op_kernel}};

bool bench_axis_has_op(const char *op)
{
    for (u32 i = 0; i < ARRAY_SIZE(ops); i++)
        if (strcmp(ops[i].name, op) == 0)
            return *ops[i].on;
    return false;
}

static const char *set_pages(const char *value)
{
    static const char allowed[] = "pages=N[,N...], up to 16 numbers from 1 to 512";
    struct bench_axis a;
    a.count = parse_u64_list(value, a.value, BENCH_AXIS_MAX, 1, 512);
    if (!a.count)
        return allowed;
    pages = a;
    return NULL;
}
PARAM(pages, "pages", "pages=N[,N...]: pages of each shootdown in benchmarks (1 to 512)", set_pages);

/* "2-4" is 2,3,4. */
static const char *set_cpus(const char *value)
{
    static const char allowed[] = "cpus=N[,N...] or cpus=N-M, up to 16 numbers from 1 to 512";
    struct bench_axis a = {0};
    const char *dash = strchr(value, '-');
    if (dash) {
        char first[8];
        u64 lo, hi;
        if ((size_t)(dash - value) >= sizeof(first))
            return allowed;
        memcpy(first, value, (size_t)(dash - value));
        first[dash - value] = 0;
        if (!parse_u64(first, &lo) || !parse_u64(dash + 1, &hi) || lo < 1 || hi > MAX_CPUS || hi < lo ||
            hi - lo >= BENCH_AXIS_MAX)
            return allowed;
        for (u64 n = lo; n <= hi; n++)
            a.value[a.count++] = n;
    } else {
        a.count = parse_u64_list(value, a.value, BENCH_AXIS_MAX, 1, MAX_CPUS);
        if (!a.count)
            return allowed;
    }
    cpus_asked = a;
    return NULL;
}
PARAM(cpus, "cpus", "cpus=N[,N...] or N-M: CPUs in benchmarks, the initiator included", set_cpus);

static const char *set_op(const char *value)
{
    static const char allowed[] = "op=NAME[,NAME...] of unmap, protect, remap, kernel";
    bool on[ARRAY_SIZE(ops)] = {false};
    while (*value) {
        const char *comma = strchr(value, ',');
        size_t n = comma ? (size_t)(comma - value) : strlen(value);
        u32 i = 0;
        while (i < ARRAY_SIZE(ops) && (strlen(ops[i].name) != n || strncmp(ops[i].name, value, n) != 0))
            i++;
        if (i == ARRAY_SIZE(ops))
            return allowed;
        on[i] = true;
        value += n + (comma != NULL);
    }
    bool any = false;
    for (u32 i = 0; i < ARRAY_SIZE(ops); i++)
        any = any || on[i];
    if (!any)
        return allowed;
    for (u32 i = 0; i < ARRAY_SIZE(ops); i++)
        *ops[i].on = on[i];
    return NULL;
}
PARAM(op, "op", "op=NAME[,NAME...]: operations of the shootdown benchmark: unmap, protect, remap, kernel",
      set_op);
