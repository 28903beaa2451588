/* The timeline of a failed run: one column per CPU, addresses by name. */
#include "tests/sim/machine.h"
#include "tests/sim/scenario.h"
#include "tests/sim/std.h"

#include "smp/message.h"

#define LINES_MAX 4000u
#define WIDTH     58

struct line {
    u32 step;
    cpu_t cpu;
    char text[110];
};

bool sim_tracing;
static struct line *lines; /* on the heap: outlives the run */
static u32 *count;

void sim_trace_init(void)
{
    lines = calloc(LINES_MAX, sizeof(*lines));
    count = calloc(1, sizeof(*count));
}

void sim_trace_reset(void)
{
    *count = 0;
}

void sim_trace(cpu_t c, const char *fmt, ...)
{
    if (!sim_tracing)
        return;
    struct line *l = &lines[(*count)++ % LINES_MAX];
    l->step = sim.step;
    l->cpu = c;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(l->text, sizeof(l->text), fmt, ap);
    va_end(ap);
}

/* ---- names ---- */

struct field {
    size_t offset;
    const char *name;
};

static const char *space_symbol(char *out, size_t size, const char *name, const struct space *s,
                                const volatile u8 *p)
{
    const struct field fields[] = {
        {offsetof(struct space, lock), "lock"},     {offsetof(struct space, frames), "frames"},
        {offsetof(struct space, gen), "gen"},       {offsetof(struct space, active), "active"},
        {offsetof(struct space, loaded), "loaded"}, {offsetof(struct space, id), "id"}};
    const u8 *cpu = (const u8 *)s->cpu;
    if (cpu && p >= cpu && p < cpu + sim.cpus * sizeof(struct tlb_cpu)) {
        u64 at = (u64)(p - cpu);
        static const char *const words[] = {"entered", "flushed", "walkers"};
        u64 word = at % sizeof(struct tlb_cpu) / 8;
        snprintf(out, size, "%s.cpu[%llu].%s", name, (unsigned long long)(at / sizeof(struct tlb_cpu)),
                 word < ARRAY_SIZE(words) ? words[word] : "?");
        return out;
    }
    if (p < (const u8 *)s || p >= (const u8 *)(s + 1))
        return NULL;
    const struct field *best = NULL;
    for (u32 i = 0; i < ARRAY_SIZE(fields); i++)
        if ((u64)(p - (const u8 *)s) >= fields[i].offset && (!best || fields[i].offset > best->offset))
            best = &fields[i];
    snprintf(out, size, "%s.%s", name, best ? best->name : "?");
    return out;
}

static const char *inbox_symbol(char *out, size_t size, const volatile u8 *p)
{
    for (cpu_t c = 0; c < sim.cpus; c++) {
        const struct msg_inbox *box = msg_inbox[c];
        if (!box)
            continue;
        const u8 *slots = (const u8 *)box->slot;
        if (p < (const u8 *)box || p >= slots + sim.cpus * sizeof(struct msg_slot))
            continue;
        if (p < (const u8 *)&box->own)
            snprintf(out, size, "inbox%u.pending%s", c,
                     p >= (const u8 *)&box->pending[MSG_CLASS_NMI] ? ".nmi" : "");
        else if (p < slots)
            snprintf(out, size, "inbox%u.own", c);
        else {
            u64 at = (u64)(p - slots), field = at % sizeof(struct msg_slot);
            snprintf(out, size, "line %llu>%u.%s", (unsigned long long)(at / sizeof(struct msg_slot)), c,
                     field == 0   ? "posted"
                     : field == 4 ? "acked"
                                  : "body");
        }
        return out;
    }
    return NULL;
}

const char *sim_symbol(const volatile void *address)
{
    static char out[2][64];
    static u32 turn;
    const volatile u8 *p = address;
    char *text = out[turn++ % 2];
    const char *found = inbox_symbol(text, sizeof(out[0]), p);
    if (!found)
        found = space_symbol(text, sizeof(out[0]), "kernel", &kernel_space, p);
    for (u32 i = 0; i < sim_space_count && !found; i++) {
        char name[8];
        snprintf(name, sizeof(name), "S%u", i + 1);
        found = space_symbol(text, sizeof(out[0]), name, sim_spaces[i], p);
    }
    if (found)
        return found;
    if (sim_in_phys(p))
        snprintf(text, sizeof(out[0]), "frame %llx[%llu]",
                 (unsigned long long)ALIGN_DOWN(SIM_PHYS_BASE + (u64)(p - sim_phys.memory), PAGE_SIZE),
                 (unsigned long long)((u64)(p - sim_phys.memory) % PAGE_SIZE / 8));
    else
        snprintf(text, sizeof(out[0]), "%s", sim_variable_name(address));
    return text;
}

void sim_trace_print(void)
{
    u32 n = *count, first = n > LINES_MAX ? n - LINES_MAX : 0;
    cpu_t cpus = 0;
    for (u32 i = first; i < n; i++)
        cpus = MAX(cpus, lines[i % LINES_MAX].cpu + 1);
    printf("  %5s", "step");
    for (cpu_t c = 0; c < cpus; c++)
        printf("  CPU %-*u", WIDTH - 4, c);
    printf("\n");
    for (u32 i = first; i < n; i++) {
        const struct line *l = &lines[i % LINES_MAX];
        printf("  %5u  %*s%s\n", l->step, (int)(l->cpu * (WIDTH + 2)), "", l->text);
    }
}
