/* tree: each CPU that is told tells some others, along the machine's topology.
 *
 * From: Barrelfish (Baumann and others, 2009), whose monitors unmap over a multicast tree. Written from the paper: the public
 * tree has no code for it.
 * Waits: the initiator, for every flush. (Barrelfish also gathers the answers along the tree. Here each CPU's published words
 * are compared anyway, because release never rests on a policy's word, so gathered answers would come on top.)
 * Provides: WALKERS at return.
 * Needs: nothing. fanout=N on the command line: how many each CPU tells, 2 to 16.
 * Good at: many CPUs: nobody writes more than fanout interrupts and lines, and interrupts go between packages once each.
 * Bad at: few CPUs: the way to the last target leads through others' handlers.
 *
 * A node's part of the tree is a set of CPUs, carried by value: 128 bits from the node's own index on. A larger set is split
 * further, whatever the fan-out. */
#include "lib/cost.h"
#include "lib/param.h"
#include "mm/respond.h"
#include "smp/topology.h"

COUNTER(shootdown_tree_told, "messages that carried a part of a multicast tree");

#define FANOUT_MIN 2u
#define FANOUT_MAX 16u
#define SET_CPUS   128u /* in the two words of a message */

u32 shootdown_fanout = 4;

/* Some CPUs, from `first` on: bit i of the words is CPU first + i. */
struct part {
    cpu_t first; /* CPU_NONE: none yet */
    u64 set[2];
};

static void part_add(struct part *p, cpu_t c)
{
    if (p->first == CPU_NONE)
        p->first = c;
    p->set[(c - p->first) / 64] |= 1ull << (c - p->first) % 64;
}

/* Tells the first of the part about itself and the rest. Whose line is full is told by its word, and the next one leads. */
static void tell(const struct part *p, struct msg *m)
{
    struct part rest = *p;
    while (rest.first != CPU_NONE) {
        m->tag = rest.first;
        m->word[4] = rest.set[0];
        m->word[5] = rest.set[1];
        counter_inc(shootdown_tree_told);
        if (msg_post(rest.first, m) == ERR_OK)
            return;
        shootdown_tell_by_word(rest.first);
        struct part next = {.first = CPU_NONE};
        for (u32 i = 1; i < SET_CPUS; i++)
            if (rest.set[i / 64] >> i % 64 & 1)
                part_add(&next, rest.first + i);
        rest = next;
    }
}

/* Packages in the set if there are several, else CPUs: what is dealt out to the children. */
static u32 count_units(const cpumask_t *set, bool *by_package)
{
    u32 packages = 0, cpus = 0, last = ~0u;
    CPUMASK_FOREACH (c, set) {
        u32 package = topology_of(c).package;
        packages += package != last;
        last = package;
        cpus++;
    }
    *by_package = packages > 1;
    return packages > 1 ? packages : cpus;
}

/* Deals the set out to at most `fanout` children, neighbours together, and tells each. */
static void tell_all(const cpumask_t *set, struct msg *m)
{
    bool by_package;
    u32 units = count_units(set, &by_package), children = MIN(shootdown_fanout, units);
    u32 unit = 0, child = 0, last = ~0u;
    cost_turns(2 * cpumask_count(set)); /* above, and below */
    struct part part = {.first = CPU_NONE};
    bool begun = false;
    CPUMASK_FOREACH (c, set) {
        u32 package = topology_of(c).package;
        unit += begun && (!by_package || package != last);
        last = package;
        begun = true;
        u32 of = unit * children / units;
        if (of != child || (part.first != CPU_NONE && c - part.first >= SET_CPUS)) {
            tell(&part, m);
            part = (struct part){.first = CPU_NONE};
            child = of;
        }
        part_add(&part, c);
    }
    if (part.first != CPU_NONE)
        tell(&part, m);
}

static const struct msg_kind *const tlb_tree_message;

static void tree_received(struct msg_in *in)
{
    struct msg m = {.kind = tlb_tree_message, .flags = MSG_OWN_ACK};
    cpu_t first = msg_tag(in);
    cpumask_t set;
    bool any = false;
    cpumask_clear(&set);
    for (u32 w = 0; w < 2; w++)
        for (u64 left = in->word[4 + w]; left; left &= left - 1) {
            cpu_t c = first + w * 64 + (u32)lowest_bit(left);
            if (c != first) {
                cpumask_set(&set, c);
                any = true;
            }
        }
    cost_turns(1 + cpumask_count(&set)); /* above */
    if (any) {                           /* first: others are farther from their flush than we are */
        for (u32 i = 0; i < 4; i++)
            m.word[i] = in->word[i];
        tell_all(&set, &m);
    }
    tlb_respond(in);
}
TABLE_ENTRY(msg_kind, struct msg_kind, tlb_tree) = {.name = "tlb_tree", .fn = tree_received};
static const struct msg_kind *const tlb_tree_message = &tlb_tree;

static void tree_post(struct tlb_ticket *t)
{
    struct msg m = {.kind = &tlb_tree, .flags = MSG_OWN_ACK};
    tlb_request_pack(&t->request, TLB_FLUSHED, m.word);
    tell_all(&t->must, &m);
    shootdown_posted(t);
    shootdown_flush_here(t);
}

SHOOTDOWN_POLICY(tree, "targets tell others, along the topology (Barrelfish)", .at_return = TLB_WALKERS,
                 .at_release = TLB_WALKERS, .post = tree_post);

static const char *set_fanout(const char *value)
{
    u64 n;
    if (!parse_u64(value, &n) || n < FANOUT_MIN || n > FANOUT_MAX)
        return "fanout=N, 2 to 16";
    shootdown_fanout = (u32)n;
    return NULL;
}
PARAM(fanout, "fanout", "fanout=N: how many CPUs each tells under policy=tree (2 to 16, default 4)",
      set_fanout);
