#include "lib/counter.h"

#include "lib/atomic.h"
#include "lib/string.h"

u64 counter_value(const struct counter *c, cpu_t cpu)
{
#ifdef VOLLEY_HOST
    return cpu < HOST_CPUS ? atomic_load_relaxed(&c->percpu[cpu]) : 0;
#else
    u64 base = percpu_base[cpu];
    /* In .percpu a variable's address is its offset (lib/percpu.h). */
    return base ? atomic_load_relaxed((u64 *)(base + (uintptr_t)c->percpu)) : 0;
#endif
}

u64 counter_sum(const struct counter *c)
{
    u64 sum = 0;
    for (cpu_t cpu = 0; cpu < MAX_CPUS; cpu++)
        sum += counter_value(c, cpu);
    return sum;
}

const struct counter *counter_find(const char *name)
{
    TABLE_FOREACH (counter, struct counter, c)
        if (strcmp(c->name, name) == 0)
            return c;
    return NULL;
}
