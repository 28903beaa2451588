/* How an APIC id is made up. From leaf 1Fh or 0Bh; on older processors from how many ids a package and a core reserve. */
#include "kernel/cpu_caches.h"

/* ECX[15:8] of leaves 0Bh and 1Fh. Between core and die come module and tile. */
enum level { LEVEL_NONE = 0, LEVEL_THREAD = 1, LEVEL_DIE = 5 };

/* Bits that number `n` things: the reserved id space is a power of two (SDM volume 3A, section 9.9.3). */
static u8 bits_for(u32 n)
{
    u8 bits = 0;
    while (bits < 31 && 1u << bits < n)
        bits++;
    return bits;
}

/* Each sub-leaf says by how much to shift to get past its own level: what lies below a die is a die's, and what the last one
 * shifts away is a package's. */
static bool read_levels(cpuid_fn read, u32 leaf, struct cpu_topology *t)
{
    u32 shift = 0, core = 0, below_die = 0;
    bool die = false;
    if (!(read(leaf, 0).ebx & 0xffff))
        return false;
    for (u32 i = 0; i < 16; i++) {
        struct cpuid_regs r = read(leaf, i);
        u32 level = r.ecx >> 8 & 0xff;
        if (level == LEVEL_NONE)
            break;
        if (level == LEVEL_DIE) {
            below_die = shift;
            die = true;
        }
        if ((r.eax & 31) < shift)
            return false; /* it cannot go down */
        shift = r.eax & 31;
        if (level == LEVEL_THREAD)
            core = shift;
    }
    *t = (struct cpu_topology){(u8)core, (u8)(die ? below_die : shift), (u8)shift,
                               leaf == 0xb ? "CPUID 0Bh" : "CPUID 1Fh"};
    return true;
}

static struct cpu_topology read_legacy(cpuid_fn read)
{
    struct cpuid_regs one = read(1, 0);
    u32 ids = one.edx >> 28 & 1 ? MAX(one.ebx >> 16 & 0xff, 1u) : 1; /* HTT: the field means something */
    u32 extended = cpuid_last(read, 0x80000000u);
    if (extended >= 0x80000008u && (read(0x80000008u, 0).ecx & 0xf0ff)) {
        u32 ecx = read(0x80000008u, 0).ecx;
        u8 package = (ecx >> 12 & 0xf) ? (u8)(ecx >> 12 & 0xf) : bits_for((ecx & 0xff) + 1), core = 0;
        if (extended >= 0x8000001eu && (read(0x80000001u, 0).ecx >> 22 & 1))
            core = bits_for((read(0x8000001eu, 0).ebx >> 8 & 0xff) + 1);
        return (struct cpu_topology){MIN(core, package), package, package, "CPUID 80000008h"};
    }
    u8 package = bits_for(ids), cores = cpuid_last(read, 0) >= 4 ? bits_for((read(4, 0).eax >> 26) + 1) : 0;
    return (struct cpu_topology){(u8)(package > cores ? package - cores : 0), package, package, "CPUID 1"};
}

struct cpu_topology cpu_topology_read(cpuid_fn read)
{
    struct cpu_topology t;
    u32 end = cpuid_last(read, 0);
    if (end >= 0x1f && read_levels(read, 0x1f, &t))
        return t;
    if (end >= 0xb && read_levels(read, 0xb, &t))
        return t;
    return read_legacy(read);
}

/* Different values among ids shifted by so much; *most: how many ids share one. */
static u32 distinct(const apic_id_t *ids, u32 n, u32 shift, u32 *most)
{
    u32 found = 0;
    *most = 0;
    for (u32 i = 0; i < n; i++) {
        u32 like = 0;
        bool first = true;
        for (u32 k = 0; k < n; k++)
            if ((u64)ids[k] >> shift == (u64)ids[i] >> shift) {
                like++;
                first = first && k >= i;
            }
        found += first;
        *most = MAX(*most, like);
    }
    return found;
}

struct cpu_topology_count cpu_topology_count(const struct cpu_topology *t, const apic_id_t *ids, u32 n)
{
    struct cpu_topology_count c;
    u32 most;
    c.packages = distinct(ids, n, t->package_shift, &most);
    c.dies = distinct(ids, n, t->die_shift, &most);
    c.clusters = distinct(ids, n, 4, &most);
    c.cores = distinct(ids, n, t->core_shift, &c.threads_max);
    return c;
}
