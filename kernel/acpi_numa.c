/* SRAT and SLIT: which CPUs and memory are near each other (ACPI 6.5, sections 5.2.16 and 5.2.17). Firmware numbers proximity
 * domains as it likes; ours are dense, in the order of the SRAT. */
#include "kernel/acpi_table.h"

enum srat_type { SRAT_LAPIC = 0, SRAT_MEMORY = 1, SRAT_X2APIC = 2 };

#define SRAT_FIRST_ENTRY 48u
#define AFFINITY_ENABLED 1u
#define SLIT_MATRIX      44u
#define DISTANCE_HERE    10u
#define DISTANCE_NONE    255u /* cannot be reached */

/* Our number of the domain; ACPI_NODES_MAX: no room. */
static u32 node_of_domain(struct acpi_info *out, u32 domain)
{
    for (u32 i = 0; i < out->node_count; i++)
        if (out->node_domain[i] == domain)
            return i;
    if (out->node_count == ACPI_NODES_MAX)
        return ACPI_NODES_MAX;
    out->node_domain[out->node_count] = domain;
    return out->node_count++;
}

struct tally {
    u32 short_entries, lost;
};

static void add_cpu(struct acpi_info *out, struct tally *n, apic_id_t id, u32 domain)
{
    u32 node = node_of_domain(out, domain);
    if (node == ACPI_NODES_MAX || out->cpu_node_count == MAX_CPUS)
        n->lost++;
    else
        out->cpu_node[out->cpu_node_count++] = (struct acpi_cpu_node){id, node};
}

static void srat_entry(const struct acpi_table *e, struct acpi_info *out, struct tally *n)
{
    static const u8 needs[] = {[SRAT_LAPIC] = 16, [SRAT_MEMORY] = 40, [SRAT_X2APIC] = 24};
    u8 type = acpi_u8(e, 0);
    if (type > SRAT_X2APIC)
        return; /* other kinds of processors and initiators */
    if (e->len < needs[type]) {
        n->short_entries++;
        return;
    }
    if (type == SRAT_LAPIC && (acpi_u32(e, 4) & AFFINITY_ENABLED)) {
        /* The upper 24 bits came later, and older firmware leaves them 0. */
        add_cpu(out, n, acpi_u8(e, 3), acpi_u8(e, 2) | (acpi_u32(e, 8) & 0xffffff00u));
    } else if (type == SRAT_X2APIC && (acpi_u32(e, 12) & AFFINITY_ENABLED)) {
        add_cpu(out, n, acpi_u32(e, 8), acpi_u32(e, 4));
    } else if (type == SRAT_MEMORY && (acpi_u32(e, 28) & AFFINITY_ENABLED)) {
        u32 node = node_of_domain(out, acpi_u32(e, 2));
        if (node == ACPI_NODES_MAX)
            n->lost++;
        else
            out->node_bytes[node] += acpi_u64(e, 16);
    }
}

void acpi_parse_srat(const struct acpi_table *t, struct acpi_info *out)
{
    struct tally n = {0};
    for (u64 at = SRAT_FIRST_ENTRY; at < t->len;) {
        u64 size = acpi_u8(t, at + 1), left = t->len - at;
        if (size < 2 || size > left) {
            acpi_note(out,
                      "SRAT: entry at offset %lu says it has %lu bytes, %lu are left; the rest is ignored",
                      at, size, left);
            break;
        }
        const struct acpi_table entry = {t->bytes + at, size};
        srat_entry(&entry, out, &n);
        at += size;
    }
    if (n.short_entries)
        acpi_note(out, "SRAT: %u entries are shorter than their type needs; skipped", n.short_entries);
    if (n.lost)
        acpi_note(out, "SRAT: %u entries beyond %u nodes and %u CPUs; ignored", n.lost, ACPI_NODES_MAX,
                  MAX_CPUS);
}

/* The matrix is indexed by domain, and the SRAT may come after it: so it is kept by domain until acpi_numa_finish. */
static struct {
    u64 count;
    u8 distance[ACPI_NODES_MAX][ACPI_NODES_MAX];
} slit;

void acpi_parse_slit(const struct acpi_table *t, struct acpi_info *out)
{
    u64 count = acpi_u64(t, 36);
    slit.count = 0;
    if (count == 0 || count > ACPI_NODES_MAX) {
        acpi_note(out, "SLIT: of %lu nodes, possible are 1 to %u; ignored", count, ACPI_NODES_MAX);
        return;
    }
    if (t->len - SLIT_MATRIX < count * count) {
        acpi_note(out, "SLIT: %lu nodes need %lu bytes of distances, %lu are there; ignored", count,
                  count * count, t->len - SLIT_MATRIX);
        return;
    }
    slit.count = count;
    for (u64 i = 0; i < count; i++)
        for (u64 k = 0; k < count; k++)
            slit.distance[i][k] = acpi_u8(t, SLIT_MATRIX + i * count + k);
}

/* NULL if the distances between our nodes can be; else what is wrong, and of which node. */
static const char *fault(const struct acpi_info *out, u32 *node)
{
    for (u32 i = 0; i < out->node_count; i++) {
        *node = i;
        if (out->node_domain[i] >= slit.count)
            return "domain %u, which the SRAT names, has no distances";
        for (u32 k = 0; k < out->node_count; k++) {
            u8 d = out->node_domain[k] < slit.count ? slit.distance[out->node_domain[i]][out->node_domain[k]]
                                                    : DISTANCE_NONE;
            if (i == k ? d != DISTANCE_HERE : d <= DISTANCE_HERE)
                return "domain %u has others nearer than itself";
        }
    }
    return NULL;
}

void acpi_numa_finish(struct acpi_info *out)
{
    u32 node = 0;
    if (slit.count && out->node_count) {
        const char *wrong = fault(out, &node);
        char text[80];
        if (wrong) {
            format(text, sizeof(text), wrong, out->node_domain[node]);
            acpi_note(out, "SLIT: %s; ignored", text);
        } else {
            out->have_distances = true;
            for (u32 i = 0; i < out->node_count; i++)
                for (u32 k = 0; k < out->node_count; k++)
                    out->distance[i][k] = slit.distance[out->node_domain[i]][out->node_domain[k]];
        }
    }
    slit.count = 0;
}

u32 acpi_node_of(const struct acpi_info *info, apic_id_t id)
{
    for (u32 i = 0; i < info->cpu_node_count; i++)
        if (info->cpu_node[i].id == id)
            return info->cpu_node[i].node;
    return ACPI_NODES_MAX;
}
