/* Ringing: from "these CPUs have something in their inbox" to as few ICR writes as possible. */
#include "smp/deliver.h"
#include "apic/apic.h"
#include "lib/assert.h"
#include "lib/param.h"
#include "lib/string.h"
#include "smp/message.h"
#include "smp/ring.h"

COUNTER(msg_rings, "ICR writes for messages and bare doorbells");
COUNTER(msg_rings_anew,
        "times that CPUs which did not come, and whom no watchdog waited for, were rung once more");
COUNTER(msg_rings_saved, "rings saved, because the receiver's pending word was not empty");

static enum msg_delivery delivery;
static bool clusters_allowed = true;
/* The CPUs, the sender included, that "all but self" reaches and that all have an index; empty where delivery= or the
 * number of CPUs forbids the shorthand. */
static cpumask_t shorthand_set;

void msg_ring(cpu_t to)
{
    msg_ring_inline(to);
}

void smp_ring_anew(const cpumask_t *to)
{
    counter_inc(msg_rings_anew);
    CPUMASK_FOREACH (c, to)
        msg_ring(c);
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

/* Logical x2APIC destinations are cluster << 16 | bits: the id's upper part names the cluster, its lower four bits the
 * bit (SDM volume 3A, section 11.12.10.2). One write reaches any set within a cluster. */
#define CLUSTER_SHIFT 16u
static u32 logical_of(apic_id_t id)
{
    return id >> 4 << CLUSTER_SHIFT | 1u << (id & 0xf);
}
static bool same_cluster(u32 a, u32 b)
{
    return !((a ^ b) >> CLUSTER_SHIFT);
}

static void ring_cluster(u32 logical)
{
    counter_inc(msg_rings);
    apic_send_fixed_cluster(logical, VECTOR_MESSAGE);
}

/* One write for each run of CPUs in the same cluster. Firmware numbers CPUs so that neighbours by index are neighbours
 * by id; where it does not, a cluster is written to more than once, which is correct and merely slower. `run` is what
 * the CPUs before these have left to be written (0 at the start); returns what these leave. */
static ALWAYS_INLINE u32 ring_cluster_word(u32 w, u64 set, u32 run)
{
    for (; set; set &= set - 1) {
        u32 next = logical_of(cpu_apic_id((cpu_t)(w * 64 + lowest_bit(set))));
        if (run && !same_cluster(run, next)) {
            ring_cluster(run);
            run = 0;
        }
        run |= next;
    }
    return run;
}

static bool by_cluster(void)
{
    return apic_is_x2apic && clusters_allowed;
}

static bool shorthand_reaches(const cpumask_t *set)
{
    cpumask_t with_self = *set;
    cpumask_set(&with_self, cpu_self());
    return cpumask_equal(&with_self, &shorthand_set);
}

void msg_ring_mask(const cpumask_t *set, bool nmi)
{
    u32 run = 0;
    if (nmi) {
        /* No shorthand and no cluster: an NMI by shorthand would also reach CPUs that firmware parked and we never
         * started, and NMIs are too rare to be worth a second path. */
        CPUMASK_FOREACH (c, set)
            msg_ring_nmi(c);
    } else if (shorthand_reaches(set)) {
        msg_ring_shorthand();
    } else if (by_cluster()) {
        cost_turns(cpumask_count(set));
        for (u32 w = 0; w < cpumask_words; w++)
            run = ring_cluster_word(w, set->w[w], run);
        if (run)
            ring_cluster(run);
    } else {
        cost_turns(cpumask_count(set));
        CPUMASK_FOREACH (c, set)
            msg_ring(c);
    }
}

void msg_ring_word(u64 set)
{
    if (set == this_cpu(msg_self).others) {
        msg_ring_shorthand();
    } else if (by_cluster()) {
        u32 run = ring_cluster_word(0, set, 0);
        if (run)
            ring_cluster(run);
    } else {
        for (; set; set &= set - 1)
            msg_ring((cpu_t)lowest_bit(set));
    }
}

/* The shorthand also reaches CPUs that have no index here: those beyond MAX_CPUS, and those that firmware has
 * disabled. They wait for a SIPI with their APIC software-disabled, where a fixed interrupt is not accepted (SDM
 * volume 3A, sections 9.4.3 and 11.4.7.2). A CPU that was started and did not arrive may be in any state: it keeps the
 * set from being complete, because a message to it is refused. */
void msg_delivery_set(enum msg_delivery d)
{
    delivery = d;
    bool as_auto = d == MSG_DELIVERY_AUTO || d == MSG_DELIVERY_NMI;
    bool allowed = as_auto || d == MSG_DELIVERY_SHORTHAND;
    clusters_allowed = as_auto || d == MSG_DELIVERY_CLUSTER || d == MSG_DELIVERY_MWAIT;
    cpumask_clear(&shorthand_set);
    if (allowed && msg_cpus >= 3) /* with one receiver there is nothing to save */
        for (cpu_t c = 0; c < msg_cpus; c++)
            cpumask_set(&shorthand_set, c);
    for (cpu_t c = 0; c < msg_cpus; c++)
        per_cpu(msg_self, c).others = shorthand_set.w[0] && cpumask_words == 1
                                          ? shorthand_set.w[0] & ~per_cpu(msg_self, c).bit
                                          : per_cpu(msg_self, c).bit;
    TABLE_FOREACH (delivery_hook, struct delivery_hook, h)
        h->fn();
}

enum msg_delivery msg_delivery_get(void)
{
    return delivery;
}

static const char *const names[] = {"auto", "unicast", "shorthand", "cluster", "nmi", "mwait"};
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
    return "auto, unicast, shorthand, cluster, nmi or mwait";
}
PARAM(delivery, "delivery",
      "delivery=auto|unicast|shorthand|cluster|nmi|mwait: how messages to many CPUs are rung, and shootdowns",
      set_delivery);
