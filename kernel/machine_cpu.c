/* The processors, for the machine record. */
#include "kernel/cpu_caches.h"
#include "kernel/cpu_facts.h"
#include "kernel/machine.h"
#include "kernel/smi.h"
#include "kernel/tsc_sync.h"
#include "lib/features.h"
#include "lib/log.h"
#include "lib/wait.h"
#include "smp/cpus.h"

#define CR4_LA57 (1ull << 12)

static struct cpuid_regs read(u32 leaf, u32 subleaf)
{
    return cpuid(leaf, subleaf);
}

/* ---- model ---- */

static void model_text(char *out, size_t size)
{
    const struct cpu_facts *f = cpu_facts_of(0);
    format(out, size, "%s family %x model %x stepping %x, microcode %x; %u CPUs differ from CPU 0",
           features.vendor, features.family, features.model, features.stepping, f->microcode,
           cpu_facts_differ());
}
static void model_record(struct json *j)
{
    json_str(j, "vendor", features.vendor);
    json_u64(j, "family", features.family);
    json_u64(j, "model", features.model);
    json_u64(j, "stepping", features.stepping);
    json_u64(j, "microcode", cpu_facts_of(0)->microcode);
    json_u64(j, "cpus_differ", cpu_facts_differ());
    json_u64(j, "mtrrs_mended", cpu_facts_mtrrs_mended());
    json_str(j, "la57", !features.la57 ? "absent" : cr4_read() & CR4_LA57 ? "on" : "off");
    if (features.hypervisor)
        json_str(j, "hypervisor", features.hypervisor_id);
    else
        json_str(j, "hypervisor", NULL);
}
MACHINE_FACT(model, "model", model_text, model_record);

/* ---- topology ---- */

struct layout {
    struct cpu_topology bits;
    struct cpu_topology_count count;
    u32 efficient, performance; /* CPUs of each kind; 0 and 0: not a hybrid processor */
};

static struct layout read_layout(void)
{
    static apic_id_t ids[MAX_CPUS];
    struct layout l = {.bits = cpu_topology_read(read)};
    u32 n = 0;
    CPUMASK_FOREACH (c, &cpus_online) {
        ids[n++] = cpu_apic_id(c);
        l.efficient += cpu_facts_of(c)->core_type == 0x20;
        l.performance += cpu_facts_of(c)->core_type == 0x40;
    }
    l.count = cpu_topology_count(&l.bits, ids, n);
    return l;
}

static void topology_text(char *out, size_t size)
{
    struct layout l = read_layout();
    int at = format(
        out, size, "%u packages, %u dies, %u cores of up to %u threads, %u clusters of x2APIC ids; by %s",
        l.count.packages, l.count.dies, l.count.cores, l.count.threads_max, l.count.clusters, l.bits.source);
    if (l.efficient + l.performance && (size_t)at < size)
        format(out + at, size - (size_t)at, "; %u CPUs on performance cores, %u on efficient ones",
               l.performance, l.efficient);
}
static void topology_record(struct json *j)
{
    struct layout l = read_layout();
    json_u64(j, "packages", l.count.packages);
    json_u64(j, "dies", l.count.dies);
    json_u64(j, "cores", l.count.cores);
    json_u64(j, "threads_per_core", l.count.threads_max);
    json_u64(j, "clusters", l.count.clusters);
    json_u64(j, "performance_cpus", l.performance);
    json_u64(j, "efficient_cpus", l.efficient);
}
MACHINE_FACT(topology, "topology", topology_text, topology_record);

/* ---- caches and TLBs, of CPU 0's kind of core ---- */

static void caches_text(char *out, size_t size)
{
    struct cpu_cache c[CPU_CACHES_MAX];
    cpu_caches_text(c, cpu_caches_read(read, c), out, size);
}
static void caches_record(struct json *j)
{
    char text[256];
    caches_text(text, sizeof(text));
    json_str(j, "caches", text);
}
MACHINE_FACT(caches, "caches", caches_text, caches_record);

static void tlbs_text(char *out, size_t size)
{
    struct cpu_tlb t[CPU_TLBS_MAX];
    const char *source;
    cpu_tlbs_text(t, cpu_tlbs_read(read, t, &source), out, size);
}
static void tlbs_record(struct json *j)
{
    char text[400];
    tlbs_text(text, sizeof(text));
    json_str(j, "tlbs", text);
}
MACHINE_FACT(tlbs, "TLBs", tlbs_text, tlbs_record);

/* ---- clock ---- */

static void tsc_text(char *out, size_t size)
{
    struct tsc_sync s = tsc_sync_last();
    format(
        out, size,
        "invariant %s, deadline %s; %u of %u CPUs compared by round trips, offset at most %llu ticks +- %llu",
        features.invariant_tsc ? "yes" : "no", features.tsc_deadline ? "yes" : "no", s.compared,
        s.online ? s.online - 1 : 0, (unsigned long long)s.max_offset, (unsigned long long)s.max_doubt);
}
static void tsc_record(struct json *j)
{
    struct tsc_sync s = tsc_sync_last();
    json_bool(j, "tsc_invariant", features.invariant_tsc);
    json_bool(j, "tsc_deadline", features.tsc_deadline);
    json_str(j, "tsc_offset_method", "round trips");
    json_u64(j, "tsc_compared", s.compared);
    json_u64(j, "tsc_offset", s.max_offset);
    json_u64(j, "tsc_offset_doubt", s.max_doubt);
}
MACHINE_FACT(tsc, "TSC", tsc_text, tsc_record);

/* ---- system-management interrupts: watched for on hardware only, where a gap means something ---- */

#define SMI_MS 10u

/* Once: the record is printed several times, and its readers compare. */
static struct smi_watch watched(void)
{
    static struct smi_watch w;
    if (emulator == EMULATOR_NONE && !w.ticks)
        w = smi_watch(SMI_MS);
    return w;
}

static void smi_text(char *out, size_t size)
{
    struct smi_watch w = watched();
    u64 count;
    out[0] = 0;
    if (w.ticks)
        format(out, size, "in %u ms %llu gaps above %u us, the longest %llu ns%s", SMI_MS,
               (unsigned long long)w.gaps, SMI_GAP_US, (unsigned long long)tsc_to_ns(w.longest),
               w.gaps ? ": suspect SMIs" : "");
    else if (smi_count(&count))
        format(out, size, "%llu counted since reset", (unsigned long long)count);
}
static void smi_record(struct json *j)
{
    struct smi_watch w = watched();
    u64 count;
    if (smi_count(&count))
        json_u64(j, "smi_count", count);
    if (w.ticks) {
        json_u64(j, "smi_gaps", w.gaps);
        json_u64(j, "smi_longest_ns", tsc_to_ns(w.longest));
    }
}
MACHINE_FACT(smi, "SMIs", smi_text, smi_record);
