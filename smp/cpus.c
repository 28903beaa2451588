/* CPU indices: dense for us, sparse in the hardware. */
#include "smp/cpus.h"

u32 cpumask_words = 1;
cpumask_t cpus_online;
apic_id_t cpu_apic_ids[MAX_CPUS];

static u32 count;

/* Sorted by id, for the way back. An array by id would need 4 GiB entries, and firmware numbers CPUs as it likes. */
static struct {
    apic_id_t id;
    cpu_t cpu;
} by_id[MAX_CPUS];

/* First place in by_id whose id is not below the given one; count if there is none. */
static u32 lower_bound(apic_id_t id)
{
    u32 low = 0, high = count;
    while (low < high) {
        u32 middle = (low + high) / 2;
        if (by_id[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

err_t cpu_add(apic_id_t id)
{
    if (id == APIC_ID_NONE)
        return ERR_INVAL;
    u32 at = lower_bound(id);
    if (at < count && by_id[at].id == id)
        return ERR_EXIST;
    if (count == MAX_CPUS)
        return ERR_FULL;
    for (u32 i = count; i > at; i--)
        by_id[i] = by_id[i - 1];
    by_id[at].id = id;
    by_id[at].cpu = count;
    cpu_apic_ids[count++] = id;
    cpumask_words = (count + 63) / 64;
    return ERR_OK;
}

u32 cpu_count(void)
{
    return count;
}

cpu_t cpu_by_apic_id(apic_id_t id)
{
    u32 at = lower_bound(id);
    return at < count && by_id[at].id == id ? by_id[at].cpu : CPU_NONE;
}

u32 cpu_online_count(void)
{
    cpumask_t online;
    cpumask_snapshot(&online, &cpus_online);
    return cpumask_count(&online);
}
