#include "bench/effort.h"

#include "apic/apic.h"
#include "bench/bench.h"
#include "kernel/idle.h"
#include "kernel/profile.h"
#include "kernel/remote_flush.h"
#include "kernel/trace.h"
#include "lib/assert.h"
#include "lib/atomic.h"
#include "lib/counter.h"
#include "lib/features.h"
#include "lib/log.h"
#include "lib/string.h"
#include "lib/x86/cpu.h"
#include "mm/pcid.h"
#include "mm/tlb_local.h"
#include "smp/cpus.h"
#include "smp/topology.h"

/* In the order of the record. A kernel that lacks one of them leaves it out. */
static const char *const names[] = {"shootdowns",    "shootdown_routed", "tlb_flush_pages", "tlb_flush_space",
                                    "tlb_flush_all", "msg_sent",         "msg_rings"};
static u64 before[ARRAY_SIZE(names)];

/* SDM volume 4, table 2-2 and the tables of the models from Nehalem on: SMIs that this CPU has taken, 32 bits. */
#define MSR_SMI_COUNT         0x34u
#define MSR_MISC_ENABLE       0x1a0u
#define MISC_ENABLE_TURBO_OFF (1ull << 38)
#define CPUID_6_EAX_TURBO     (1u << 1)
#define CPUID_5_EDX_C_STATES  0xfffffff0u /* sub-states of C1 and deeper, 4 bits each */

static u64 smi_before;

/* Only on hardware, and only where every model has it: elsewhere an unknown MSR may fault, or read 0 and look reassuring. */
static bool has_smi_count(void)
{
    return emulator == EMULATOR_NONE && strcmp(features.vendor, "GenuineIntel") == 0 &&
           features.family == 6 && features.model >= 0x1a;
}

static u64 smi_count(void)
{
    return has_smi_count() ? rdmsr(MSR_SMI_COUNT) & 0xffffffff : 0;
}

void bench_effort_begin(void)
{
    for (u32 i = 0; i < ARRAY_SIZE(names); i++) {
        const struct counter *c = counter_find(names[i]);
        before[i] = c ? counter_sum(c) : 0;
    }
    smi_before = smi_count();
}

void bench_effort_record(struct json *j)
{
    for (u32 i = 0; i < ARRAY_SIZE(names); i++) {
        const struct counter *c = counter_find(names[i]);
        if (c)
            json_u64(j, names[i], counter_sum(c) - before[i]);
    }
    if (has_smi_count())
        json_u64(j, "smi", smi_count() - smi_before);
}

static u64 sum_of(const char *name)
{
    const struct counter *c = counter_find(name);
    ASSERT(c, "the counters of interrupts exist");
    return counter_sum(c);
}

struct bench_signals bench_signals_now(void)
{
    return (struct bench_signals){.irqs = sum_of("msg_interrupts") + sum_of("nmi_taken") -
                                          sum_of("msg_woken_by_store"),
                                  .icr = apic_icr_writes()};
}

void bench_signals_record(struct bench_key *k, struct bench_signals from, u64 operations, u64 n)
{
    struct bench_signals now = bench_signals_now();
    k->irqs = operations ? (now.irqs - from.irqs) * n / operations : 0;
    k->icr = operations ? (now.icr - from.icr) * n / operations : 0;
}

static u32 siblings(void)
{
    u32 n = 0;
    CPUMASK_FOREACH (c, &cpus_online)
        n += topology_of(c).thread != 0;
    return n;
}

/* null: this machine cannot tell, or the question makes no sense on an emulator. */
static void add_known(struct json *j, const char *key, bool known, bool value)
{
    if (known)
        json_bool(j, key, value);
    else
        json_str(j, key, NULL);
}

/* What was chosen of the kernel, as far as it is in no record's key: as it is in force, whoever chose it. */
static void add_choices(struct json *j)
{
    json_bool(j, "pti", features.pti);
    json_bool(j, "global", features.pge);
    json_u64(j, "ceiling", shootdown_ceiling);
    json_str(j, "flush_whole", tlb_flush_by_invpcid && features.invpcid ? "invpcid" : "cr3");
    if (features.pcid)
        json_u64(j, "slots", atomic_load_relaxed(&pcid_slots_in_use));
    else
        json_str(j, "slots", NULL);
    json_str(j, "idle", idle_name());
    json_bool(j, "trace", trace_is_on());
    json_bool(j, "profile", profile_runs());
}

void bench_conditions(void)
{
    bool hardware = emulator == EMULATOR_NONE,
         intel = hardware && strcmp(features.vendor, "GenuineIntel") == 0;
    bool turbo = cpuid(0, 0).eax >= 6 && (cpuid(6, 0).eax & CPUID_6_EAX_TURBO);
    if (turbo && intel && features.family == 6)
        turbo = !(rdmsr(MSR_MISC_ENABLE) & MISC_ENABLE_TURBO_OFF);
    bool c_states = features.mwait && cpuid(0, 0).eax >= 5 && (cpuid(5, 0).edx & CPUID_5_EDX_C_STATES);
    char flush_by_hardware[96];
    struct remote_flush flush = remote_flush_here();
    remote_flush_text(&flush, flush_by_hardware, sizeof(flush_by_hardware));
    struct json j;
    json_begin(&j, "conditions");
    add_known(&j, "turbo", hardware, turbo);
    add_known(&j, "c_states", hardware, c_states);
    json_u64(&j, "smt_siblings", siblings());
    add_known(&j, "smi_counted", hardware, has_smi_count());
    json_u64(&j, "overhead", bench_overhead());
    json_str(&j, "flush_by_hardware", flush_by_hardware);
    add_choices(&j);
    json_end(&j);
    if (!hardware)
        return;
    if (turbo)
        print("  turbo is on: ticks are of the TSC, and the clock of the cores moves; turn it off in the "
              "firmware\n");
    if (siblings())
        print("  %u CPUs share a core with another: their figures depend on what that one does\n",
              siblings());
}
