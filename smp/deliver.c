/* Ringing: from "these CPUs have something in their inbox" to as few ICR writes as possible. */
#include "smp/deliver.h"
#include "apic/apic.h"
#include "lib/assert.h"
#include "lib/param.h"
#include "lib/string.h"
#include "smp/message.h"

COUNTER(msg_rings, "ICR writes for messages and bare doorbells");
COUNTER(msg_rings_saved, "rings saved, because the receiver's pending word was not empty");

static enum msg_delivery delivery;
cpumask_t msg_shorthand_set;

void msg_ring(cpu_t to)
{
    counter_inc(msg_rings);
    apic_send_fixed(cpu_apic_id(to), VECTOR_MESSAGE);
}

void msg_ring_nmi(cpu_t to)
{
    counter_inc(msg_rings);
    apic_send_nmi(cpu_apic_id(to));
}

void msg_ring_shorthand(void)
{
    counter_inc(msg_rings);
    apic_send_fixed_all_but_self(VECTOR_MESSAGE);
}

/* Logical x2APIC destinations are cluster << 16 | bits: the id's upper part names the cluster, its lower four bits the bit
 * (SDM volume 3A, section 11.12.10.2). One write reaches any set within a cluster. */
#define CLUSTER_SHIFT 4u
static u32 cluster_of(apic_id_t id)
{
    return id >> CLUSTER_SHIFT;
}
static u32 logical_of(apic_id_t id)
{
    return cluster_of(id) << 16 | 1u << (id & 0xf);
}

static void ring_cluster(u32 logical)
{
    counter_inc(msg_rings);
    apic_send_fixed_cluster(logical, VECTOR_MESSAGE);
}

/* One write for each run of CPUs in the same cluster. Firmware numbers CPUs so that neighbours by index are neighbours by
 * id; where it does not, a cluster is written to more than once, which is correct and merely slower. */
static void ring_clusters(const cpumask_t *set)
{
    u32 logical = 0;
    CPUMASK_FOREACH (c, set) {
        u32 next = logical_of(cpu_apic_id(c));
        if (logical && next >> 16 != logical >> 16) {
            ring_cluster(logical);
            logical = 0;
        }
        logical |= next;
    }
    if (logical)
        ring_cluster(logical);
}

void msg_ring_mask(const cpumask_t *set, bool nmi)
{
    if (nmi) {
        /* No shorthand: an NMI would also reach CPUs that firmware parked and we never started. */
        CPUMASK_FOREACH (c, set)
            msg_ring_nmi(c);
        return;
    }
    if (apic_is_x2apic && (delivery == MSG_DELIVERY_CLUSTER || delivery == MSG_DELIVERY_AUTO)) {
        ring_clusters(set);
        return;
    }
    CPUMASK_FOREACH (c, set)
        msg_ring(c);
}

void msg_ring_word(u64 set, u32 flags)
{
    cpumask_t m;
    m.w[0] = set;
    msg_ring_mask(&m, flags & MSG_NMI);
}

/* The shorthand also reaches CPUs that have no index here: those beyond MAX_CPUS, and those that firmware has disabled.
 * They wait for a SIPI with their APIC software-disabled, where a fixed interrupt is not accepted (SDM volume 3A, sections
 * 9.4.3 and 11.4.7.2). A CPU that was started and did not arrive may be in any state: it keeps the set from being
 * complete, because a message to it is refused. */
void msg_delivery_set(enum msg_delivery d)
{
    delivery = d;
    bool allowed = d == MSG_DELIVERY_AUTO || d == MSG_DELIVERY_SHORTHAND;
    cpumask_clear(&msg_shorthand_set);
    if (allowed && msg_cpus >= 3) /* with one receiver there is nothing to save */
        for (cpu_t c = 0; c < msg_cpus; c++)
            cpumask_set(&msg_shorthand_set, c);
}

enum msg_delivery msg_delivery_get(void)
{
    return delivery;
}

static const char *const names[] = {"auto", "unicast", "shorthand", "cluster"};
const char *msg_delivery_name(void)
{
    return names[delivery];
}

static const char *set_delivery(const char *value)
{
    for (u32 i = 0; i < ARRAY_SIZE(names); i++)
        if (strcmp(value, names[i]) == 0) {
            msg_delivery_set((enum msg_delivery)i);
            return NULL;
        }
    return "auto, unicast, shorthand or cluster";
}
PARAM(delivery, "delivery", "delivery=auto|unicast|shorthand|cluster  how messages to many CPUs are rung",
      set_delivery);
