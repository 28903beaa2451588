/* The axes of a benchmark's grid, as the command line sets them. */
#include "bench/bench.h"
#include "lib/param.h"
#include "lib/string.h"
#include "smp/cpus.h"
#include "smp/message.h"

/* 1; a few; one less than, exactly, and more than Linux's ceiling of 33; a whole table's worth. */
static struct bench_axis pages = {.count = 7, .value = {1, 4, 10, 32, 33, 64, 512}};
static bool pages_chosen;
static struct bench_axis cpus_asked; /* count 0: choose */
static bool op_unmap = true, op_protect = true, op_remap, op_kernel;

const struct bench_axis *bench_axis_pages(void)
{
    return &pages;
}

bool bench_axis_pages_chosen(void)
{
    return pages_chosen;
}

bool bench_axis_cpus_chosen(void)
{
    return cpus_asked.count != 0;
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

bool bench_axis_cpus_left(struct bench_run *b)
{
    if (!bench_axis_cpus()->count)
        bench_refuse(b, "no number of cpus= is at most %u, the CPUs that are online", cpu_online_count());
    return bench_axis_cpus()->count != 0;
}

struct switch_name {
    const char *name;
    bool *on;
};
static const struct switch_name ops[] = {
    {"unmap", &op_unmap}, {"protect", &op_protect}, {"remap", &op_remap}, {"kernel", &op_kernel}};

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
    pages_chosen = true;
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

/* Turns on the names of a list with commas, and all others off. False, and nothing changed: a name is unknown, or there is none. */
static bool set_names(const char *value, const struct switch_name *names, u32 count)
{
    u64 on = 0;
    while (*value) {
        const char *comma = strchr(value, ',');
        size_t n = comma ? (size_t)(comma - value) : strlen(value);
        u32 i = 0;
        while (i < count && (strlen(names[i].name) != n || strncmp(names[i].name, value, n) != 0))
            i++;
        if (i == count)
            return false;
        on |= 1ull << i;
        value += n + (comma != NULL);
    }
    for (u32 i = 0; on && i < count; i++)
        *names[i].on = on >> i & 1;
    return on != 0;
}

static const char *set_op(const char *value)
{
    return set_names(value, ops, ARRAY_SIZE(ops)) ? NULL
                                                  : "op=NAME[,NAME...] of unmap, protect, remap, kernel";
}
PARAM(op, "op", "op=NAME[,NAME...]: operations of the shootdown benchmark: unmap, protect, remap, kernel",
      set_op);

static bool responders[RESPONDER_KINDS] = {[RESPONDER_RING3] = true};
static const struct switch_name responder_names[] = {{"ring3", &responders[RESPONDER_RING3]},
                                                     {"kernel", &responders[RESPONDER_KERNEL]},
                                                     {"idle", &responders[RESPONDER_IDLE]},
                                                     {"lazy", &responders[RESPONDER_LAZY]}};

bool bench_axis_has_responders(enum responder_kind k)
{
    return responders[k];
}

static const char *set_responders(const char *value)
{
    return set_names(value, responder_names, ARRAY_SIZE(responder_names))
               ? NULL
               : "responders=NAME[,NAME...] of ring3, kernel, idle, lazy";
}
PARAM(responders, "responders",
      "responders=NAME[,NAME...]: what the other CPUs of the shootdown benchmark do: ring3 (default), "
      "kernel, idle, lazy",
      set_responders);

/* None: the one in force. */
static bool told_by[MSG_DELIVERY_MWAIT + 1], told_chosen;
static const struct switch_name delivery_names[] = {{"auto", &told_by[MSG_DELIVERY_AUTO]},
                                                    {"unicast", &told_by[MSG_DELIVERY_UNICAST]},
                                                    {"shorthand", &told_by[MSG_DELIVERY_SHORTHAND]},
                                                    {"cluster", &told_by[MSG_DELIVERY_CLUSTER]},
                                                    {"nmi", &told_by[MSG_DELIVERY_NMI]},
                                                    {"mwait", &told_by[MSG_DELIVERY_MWAIT]}};

void bench_each_delivery(struct bench_run *b, void (*measure)(struct bench_run *b))
{
    enum msg_delivery before = msg_delivery_get();
    if (!told_chosen)
        measure(b);
    for (u32 d = 0; d < ARRAY_SIZE(told_by); d++)
        if (told_by[d] && !bench_out_of_time()) {
            msg_delivery_set((enum msg_delivery)d);
            measure(b);
        }
    msg_delivery_set(before);
}

static const char *set_deliveries(const char *value)
{
    if (!set_names(value, delivery_names, ARRAY_SIZE(delivery_names)))
        return "deliveries=NAME[,NAME...] of auto, unicast, shorthand, cluster, nmi, mwait";
    told_chosen = true;
    return NULL;
}
PARAM(deliveries, "deliveries",
      "deliveries=NAME[,NAME...]: how CPUs are told in the shootdown benchmark and scaling, one after the "
      "other: "
      "auto, unicast, shorthand, cluster, nmi, mwait (default: as delivery= says)",
      set_deliveries);

static bool inside = true, outside;
static const struct switch_name initiators[] = {{"inside", &inside}, {"outside", &outside}};

bool bench_axis_has_initiator(bool is_outside)
{
    return is_outside ? outside : inside;
}

static const char *set_initiator(const char *value)
{
    return set_names(value, initiators, ARRAY_SIZE(initiators)) ? NULL
                                                                : "initiator=NAME[,NAME] of inside, outside";
}
PARAM(initiator, "initiator",
      "initiator=NAME[,NAME]: has the initiator of the shootdown benchmark the space loaded: inside "
      "(default), outside",
      set_initiator);
